"""The origin, on the load's core: files of four sizes, cacheable or not, and a count of the requests that reach it."""

import http.client
import os
import re
import shutil

SIZES = {"k1": 1 << 10, "k10": 10 << 10, "k100": 100 << 10, "m1": 1 << 20}
# A sparse file, for transfers that are too large to store.
LARGE = ("g1", 1 << 30)


class Origin:
    """`tls`: lines for nginx, by which it speaks TLS on `tls_port` too."""

    def __init__(self, bench, bare_origin, name="origin", tls=""):
        self.port, self.tls_port = bench.port(), bench.port()
        self.address = f"127.0.0.1:{self.port}"
        self.program = "nginx" if shutil.which("nginx") else "bare-origin"
        if self.program == "nginx":
            words = nginx(bench, name, self.port, tls and f"listen 127.0.0.1:{self.tls_port} ssl backlog=4096; {tls}")
        else:
            words = [bare_origin, "--listen", self.address]
        self.child = bench.start(name, words, core=bench.load_core)

    def url(self, kind, number):
        return f"http://{self.address}/{kind}/{number}"

    def requests(self):
        """How many requests have come so far, the one that asks included."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        connection.request("GET", "/status")
        counts = re.search(r"\n\s*\d+ \d+ (\d+)", connection.getresponse().read().decode())
        connection.close()
        return int(counts[1])


def nginx(bench, name, port, more):
    room = bench.room(name)
    files = os.path.join(room, "files")
    os.makedirs(files, exist_ok=True)
    for name, size in SIZES.items():
        with open(os.path.join(files, name), "wb") as file:
            file.write(os.urandom(size))
    with open(os.path.join(files, LARGE[0]), "wb") as file:
        file.truncate(LARGE[1])
    places = "".join(
        f"location /{letter}/{name}/ {{ add_header Cache-Control \"{control}\"; {more} rewrite ^ /{name} break; }}\n"
        for name in [*SIZES, LARGE[0]]
        for letter, control, more in [("c", "public, max-age=36000", ""), ("n", "no-store", ""),
                                      ("v", "public, max-age=36000", "add_header Vary Accept-Encoding;")])
    return nginx_words(room, f"""
        default_type application/octet-stream;
        server {{
            listen 127.0.0.1:{port} backlog=4096;
            {more}
            root {files};
            location = /status {{ stub_status; }}
            {places} }}""")


def nginx_words(room, body):
    """One worker in the foreground, connections kept, no log of requests."""
    path = os.path.join(room, "nginx.conf")
    with open(path, "w") as file:
        file.write(f"""daemon off; worker_processes 1; pid {room}/pid; error_log {room}/errors;
            {"user root;" if os.geteuid() == 0 else ""}
            events {{ worker_connections 8192; }}
            http {{
                access_log off; sendfile on; tcp_nodelay on; open_file_cache max=10000;
                keepalive_requests 100000000; keepalive_timeout 600s;
                {body} }}""")
    return ["nginx", "-c", path, "-e", f"{room}/errors"]
