"""https that is cached: by proxies that answer in the host's name within a tunnel, and by servers that hold its certificate.

All speak TLS 1.3 with AES-128-GCM, X25519 and keys on P-256. The certificates are looked at once, by Python, when a server
starts; the load does not, for that is the work of a client and would be the limit."""

import dataclasses
import http.client
import itertools
import os
import shutil
import socket
import ssl
import subprocess
import time

from .load import Load
from .memory import answered, idle
from .origin import SIZES, Origin
from .peers import Peers, found, lacking, version, write
from .report import table, verdict
from .subject import Subject
from .throughput import HIT_REACHED, Cell, remarks

HOST = "localhost"
KINDS = [("k1", "1 KiB hit", "c/k1"), ("k100", "100 KiB hit", "c/k100")]
# More words for the program that shakes hands.
HANDSHAKES = [("full", "new handshake", []), ("resumed", "resumed", ["--resume", "yes"]), ("cold", "host never met", ["--new"])]
TITLES = {name: title for name, title, _ in KINDS + HANDSHAKES}
# Connections that shake hands at a time, and how often hits are asked for until they are hits.
AT_ONCE, WARM = 16, 5
# Hosts that nobody has met before: so many for each run.
NEW = 20_000
# Below this share sessions were not gone on with.
RESUMED = 0.95
SERVERS = ["nginx", "haproxy"]
IDLE = 32 * 1024

# What, next to the best of whom, at least how many times as many.
TARGETS = [
    ("k1", ["squid"], 3.0), ("k1", SERVERS, 1.1), ("k100", SERVERS, 1.0), ("full", ["squid"], 10.0), ("full", SERVERS, 0.8),
    ("resumed", SERVERS, 0.8),
]


@dataclasses.dataclass
class Sealed:
    """A subject that is spoken to by TLS: it is the host, or a proxy through which a tunnel leads there."""
    subject: Subject
    host: str  # with its port
    tunnel: bool
    roots: str  # a file
    cache: bool = True

    def connect(self):
        """The host's own port, inside TLS; verified."""
        raw = socket.create_connection(("127.0.0.1", self.subject.port), timeout=10)
        if self.tunnel:
            raw.sendall(f"CONNECT {self.host} HTTP/1.1\r\nHost: {self.host}\r\n\r\n".encode())
            said = b""
            while not said.endswith(b"\r\n\r\n"):
                said += (byte := raw.recv(1))
                if not byte:
                    raise OSError(f"no tunnel: {said}")
        context = ssl.create_default_context(cafile=self.roots)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        return context.wrap_socket(raw, server_hostname=HOST)

    def ask(self, kind, number):
        return f"GET /{kind}/{number} HTTP/1.1\r\nHost: {self.host}\r\n\r\n"

    def ready(self, patience=20):
        """None when it answers as it should, or else what is wrong."""
        deadline, wrong = time.monotonic() + patience, "it never answered"
        while time.monotonic() < deadline:
            try:
                with self.connect() as client:
                    client.sendall(self.ask("c/k1", 0).encode())
                    answered(client, SIZES["k1"])
                return None
            except (OSError, http.client.HTTPException, ValueError) as error:
                wrong = repr(error)
            time.sleep(0.1)
        return wrong


class SealedLoad(Load):
    """Asks a `Sealed`, whose port no other load knows how to use."""

    def __init__(self, bench, origin, programs, sealed):
        super().__init__(bench, origin, programs["eager"])
        self.shaker, self.sealed, self.resumed = programs["handshakes"], sealed, 0
        self.new = itertools.count(1, NEW)

    def way(self, program):
        sealed = self.sealed
        return [program, "--proxy", f"127.0.0.1:{sealed.subject.port}", "--origin", sealed.host, "--tls",
                "tunnel" if sealed.tunnel else "direct"]

    def eagerly(self, port, kind, seconds):
        return self.run([*self.way(self.eager), "--kind", kind, "--urls", str(self.urls), "--connections",
                         str(self.connections), "--seconds", str(seconds)], seconds)

    def warm(self, port, kind):
        """Until it has all, if it has a cache."""
        for _ in range(WARM):
            if self.measure(port, kind, 1).reached <= HIT_REACHED or not self.sealed.cache:
                break

    def shake_hands(self, more, seconds):
        number = [str(next(self.new))] if more == ["--new"] else []
        told = self.run([*self.way(self.shaker), "--path", "/c/k1/1", "--connections", str(AT_ONCE), "--seconds",
                         str(seconds), *more, *number], seconds)
        answered, took, resumed, errors, p50, p99 = told
        self.resumed = resumed / max(answered - AT_ONCE, 1)
        return answered, took / 1e6, errors, p50, p99


def certificates(room):
    """A root, and one host's certificate by it; by name: paths of PEM files, `both` with certificate and key."""
    path = lambda name: os.path.join(room, name)
    openssl = lambda *words: subprocess.run(["openssl", *words], check=True, capture_output=True)
    new = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-noenc"]
    openssl("req", "-x509", *new, "-keyout", path("root.key"), "-out", path("root.pem"), "-days", "30", "-subj",
            "/CN=bench", "-addext", "keyUsage=critical,keyCertSign,cRLSign")
    openssl("req", *new, "-keyout", path("host.key"), "-out", path("host.csr"), "-subj", f"/CN={HOST}", "-addext",
            f"subjectAltName=DNS:{HOST},DNS:*.{HOST}")
    openssl("x509", "-req", "-in", path("host.csr"), "-CA", path("root.pem"), "-CAkey", path("root.key"), "-days", "30",
            "-copy_extensions", "copy", "-out", path("host.pem"))
    names = {"root": ["root.pem"], "certificate": ["host.pem"], "key": ["host.key"], "both": ["host.pem", "host.key"],
             "signer": ["root.key", "root.pem"]}
    for name, parts in names.items():
        write(path(name), "".join(open(path(part)).read() for part in parts))
        os.chmod(path(name), 0o644)  # read by users that servers change to
    return {name: path(name) for name in names}


class Https:
    """`only` names what is measured."""

    def __init__(self, bench, programs, ours, only, rounds, seconds, connections, say):
        self.bench, self.programs, self.ours, self.only, self.say = bench, programs, ours, only, say
        self.rounds, self.seconds, self.connections = rounds, seconds, connections
        self.cells, self.idle, self.left_out, self.versions = {}, {}, {}, {}
        self.not_resumed = set()

    def measure(self):
        needed = {"nginx": found("nginx"), "openssl": found("openssl")}
        if not all(needed.values()):
            self.left_out["https"] = "it needs nginx as the origin, and openssl"
            return
        self.files = certificates(self.bench.room("certificates"))
        self.nginx_tls = (f"ssl_certificate {self.files['certificate']}; ssl_certificate_key {self.files['key']}; "
                          f"ssl_protocols TLSv1.3; ssl_session_cache shared:sessions:16m;")
        self.origin = Origin(self.bench, None, "https-origin", self.nginx_tls)
        self.host = f"{HOST}:{self.origin.tls_port}"
        loads = {name: SealedLoad(self.bench, self.origin, self.programs, sealed)
                 for name in STARTS if name in self.only and (sealed := self.start(name))}
        for number in range(1, self.rounds + 1):
            self.round(number, loads)
        for load in loads.values():
            self.bench.stop(load.sealed.subject.children)
        for name in loads:
            if sealed := self.start(name):
                ask = sealed.ask("c/k1", 1)
                self.idle[name] = idle(sealed.subject, sealed.connect, ask, self.connections, self.say)
                self.bench.stop(sealed.subject.children)
        self.bench.stop([self.origin.child])

    def start(self, name):
        programs, start = STARTS[name]
        if packages := lacking(programs):
            self.left_out[name] = f"not installed ({', '.join(packages)})"
            return None
        sealed = start(self, f"https-{name}")
        if wrong := sealed.ready():
            self.left_out[name] = f"did not start: {wrong}"
            self.say(f"{name} is left out: {wrong}\n{self.bench.output(sealed.subject.name)[-1000:]}")
            self.bench.stop(sealed.subject.children)
            return None
        self.versions[name] = sealed.subject.version
        return sealed

    def round(self, number, loads):
        """All in turns."""
        for what, _, kind in KINDS:
            for name, load in loads.items():
                load.warm(load.sealed.subject.port, kind)
                self.note(number, name, what, load.measure(load.sealed.subject.port, kind, self.seconds))
        for what, _, more in HANDSHAKES:
            for name, load in loads.items():
                # A server has one certificate, and what has no cache would ask hosts that do not exist.
                if what == "cold" and not (load.sealed.tunnel and load.sealed.cache):
                    continue
                run = load.watched(lambda: load.shake_hands(more, self.seconds))
                self.note(number, name, what, run)
                if what == "resumed" and load.resumed < RESUMED:
                    self.not_resumed.add(name)

    def note(self, number, name, what, run):
        self.cells.setdefault((name, what), Cell([])).runs.append(run)
        self.say(f"https, round {number}, {TITLES[what]}, {name}: {run.rate:,.0f}/s, p99 {run.p99 / 1000:.2f} ms, {run.errors} "
                 f"errors, origin {run.reached:.1%}, server core {run.server_busy:.0%}, load core {run.load_busy:.0%}")

    def peers(self, listen):
        return Peers(self.bench, self.origin, listen=listen)

    def ringhold(self, name):
        # A load that ends leaves handshakes behind, as a client does that refuses a certificate: nothing is learned here.
        subject = self.ours.ringhold(name, more=f"""[https]
hosts = ["{self.host}", "*.{self.host}"]
roots = ["{self.files["root"]}"]
learn = "0s"
""")
        return Sealed(subject, self.host, True, self.own_root(subject))

    def own_root(self, subject):
        """The file with the authority that it has made at its start."""
        if wrong := subject.ready(self.origin.url("c/k1", 0), SIZES["k1"]):
            raise RuntimeError(f"{subject.name}: {wrong}\n{self.bench.output(subject.name)[-1000:]}")
        connection = http.client.HTTPConnection("127.0.0.1", subject.port, timeout=10)
        connection.request("GET", "/ca.pem")
        return write(os.path.join(self.bench.room(subject.name), "ca.pem"), connection.getresponse().read().decode())

    def squid(self, name):
        port, store = self.bench.port(), os.path.join(self.bench.room(name), "certificates")
        maker = "/usr/lib/squid/security_file_certgen"
        if not os.path.exists(store):
            subprocess.run([maker, "-c", "-s", store, "-M", "16MB"], check=True, capture_output=True)
            for folder, _, names in os.walk(store):
                for path in [folder, *(os.path.join(folder, name) for name in names)]:
                    shutil.chown(path, "proxy", "proxy")
        # It looks for a host before it shakes hands in its name.
        names = [HOST, *(f"n{number}.{HOST}" for number in range(1, NEW * self.rounds))]
        hosts = write(os.path.join(self.bench.room(name), "hosts"), "".join(f"127.0.0.1 {name}\n" for name in names))
        peers = self.peers(f"ssl-bump tls-cert={self.files['signer']} generate-host-certificates=on "
                           f"dynamic_cert_mem_cache_size=16MB")
        child = peers.squid(name, port, f"""sslcrtd_program {maker} -s {store} -M 16MB
hosts_file {hosts}
tls_outgoing_options cafile={self.files["root"]}
acl hello at_step SslBump1
ssl_bump peek hello
ssl_bump bump all""")
        return Sealed(Subject(name, "cache", port, [child], version("squid")), self.host, True, self.files["root"])

    def mitmproxy(self, name):
        port, room = self.bench.port(), self.bench.room(name)
        shutil.copy(self.files["signer"], os.path.join(room, "mitmproxy-ca.pem"))
        settings = [f"confdir={room}", f"ssl_verify_upstream_trusted_ca={self.files['root']}", "connection_strategy=lazy"]
        words = [found("mitmdump"), "--quiet", "--listen-host", "127.0.0.1", "--listen-port", str(port)]
        child = self.bench.start(name, words + [word for setting in settings for word in ("--set", setting)])
        subject = Subject(name, "proxy", port, [child], version("mitmdump"))
        return Sealed(subject, self.host, True, self.files["root"], cache=False)

    def server(self, method, program, listen, more):
        def start(name):
            port = self.bench.port()
            child = getattr(self.peers(listen), method)(name, port, *more)
            return Sealed(Subject(name, "cache", port, [child], version(program)), f"{HOST}:{port}", False, self.files["root"])
        return start

    def nginx(self, name):
        return self.server("nginx", "nginx", "ssl", [self.nginx_tls])(name)

    def haproxy(self, name):
        listen = f"ssl crt {self.files['both']} alpn http/1.1 ssl-min-ver TLSv1.3"
        return self.server("haproxy_cache", "haproxy", listen, [])(name)

    def report(self):
        names = [name for name in STARTS if any((name, what) in self.cells for what in TITLES)]
        seen = set()
        rows = [[f"{name} {self.versions[name]}".strip(), *(self.shown(name, what, seen) for what in TITLES),
                 f"{self.idle[name] / 1024:.1f} KiB" if name in self.idle else ""] for name in names]
        text = (f"A second; medians of {self.rounds} rounds of {self.seconds} s, ± half the range. TLS 1.3, AES-128-GCM, "
                f"X25519, keys on P-256; ringhold, squid and mitmproxy through CONNECT with certificates that they make, nginx "
                f"and haproxy with the host's. Hits: 64 connections that are kept, 1,000 URLs; mitmproxy has no cache. "
                f"Handshakes: {AT_ONCE} connections at a time, each with one request for 1 KiB; of a host never met a "
                f"certificate has to be made first, and nothing is asked from it. Idle: each of {self.connections:,} clients "
                f"that have asked once.\n\n")
        text += table(["", *TITLES.values(), "an idle client"], rows)
        if self.not_resumed:
            text += f"\nSessions were not always gone on with: {', '.join(sorted(self.not_resumed))}.\n"
        text += "".join(f"\n{name} is left out: {why}.\n" for name, why in self.left_out.items())
        return text + remarks(seen) + "\n" + self.targets()

    def shown(self, name, what, seen):
        cell = self.cells.get((name, what))
        return cell.shown(True, seen) if cell else ""

    def targets(self):
        rows = []
        for what, rivals, wanted in TARGETS:
            rates = {name: self.cells[name, what].rate for name in rivals if (name, what) in self.cells}
            if ("ringhold", what) in self.cells and rates:
                best = max(rates, key=rates.get)
                ratio = self.cells["ringhold", what].rate / max(rates[best], 1e-9)
                rows.append([TITLES[what], best, f"{ratio:.2f}", f"{wanted:.2f}", verdict(ratio >= wanted)])
        if "ringhold" in self.idle:
            ours = self.idle["ringhold"]
            rows.append(["an idle client", "", f"{ours / 1024:.1f} KiB", "at most 32 KiB", verdict(ours <= IDLE)])
        return table(["https", "next to", "ratio", "wanted", "met"], rows) if rows else ""

    def raw(self):
        return {"runs": [{"subject": name, "what": what, **dataclasses.asdict(run)}
                         for (name, what), cell in self.cells.items() for run in cell.runs], "idle": self.idle}


# Name: the programs that it needs, and how it is started.
STARTS = {
    "ringhold": ([], Https.ringhold),
    "squid": (["squid"], Https.squid),
    "mitmproxy": (["mitmdump"], Https.mitmproxy),
    "nginx": (["nginx"], Https.nginx),
    "haproxy": (["haproxy"], Https.haproxy),
}
