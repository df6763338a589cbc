"""What is measured: a proxy on a port, made of processes."""

import dataclasses
import http.client
import time


@dataclasses.dataclass
class Subject:
    name: str
    shape: str  # "cache": one process; "cluster": a front and three caches; "ringhold"; "limit"
    port: int
    children: list
    version: str = ""
    admin: int = 0  # ringhold's port for that

    def get(self, url, timeout=10):
        """Status and body of one request through it."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            connection.request("GET", url, headers={"Host": url.split("/")[2]})
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()

    def ready(self, url, size, patience=15):
        """None when it answers as it should, or else what is wrong."""
        deadline, wrong = time.monotonic() + patience, "it never answered"
        while time.monotonic() < deadline:
            try:
                status, body = self.get(url)
                if status == 200 and len(body) == size:
                    return None
                wrong = f"it answers {status} with {len(body)} bytes"
            except (OSError, http.client.HTTPException) as error:
                wrong = repr(error)
            if any(child.poll() is not None for child in self.children):
                return "it has ended"
            time.sleep(0.1)
        return wrong
