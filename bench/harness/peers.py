"""The programs that people would pick instead of ringhold, each as small as one fair run allows: one process or worker,
256 MiB of memory for bodies, kept connections, no log of requests."""

import os
import re
import shutil
import subprocess

from .origin import nginx_words
from .subject import Subject

# What has to be installed for each, in Debian's names, and how each tells its version.
PACKAGES = {"squid": "squid-openssl", "traffic_server": "trafficserver", "varnishd": "varnish", "nginx": "nginx",
            "haproxy": "haproxy", "mitmdump": "mitmproxy, of PyPI"}
VERSIONS = {"squid": "-v", "traffic_server": "--version", "varnishd": "-V", "nginx": "-v", "haproxy": "-v",
            "mitmdump": "--version"}
# Where `bench/peers install` puts what is of PyPI.
PYTHON = os.path.join(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "ringhold-bench", "bin")


def found(program):
    """Where a program is, or None."""
    return shutil.which(program) or shutil.which(program, path=PYTHON)


def version(program):
    told = subprocess.run([found(program), VERSIONS[program]], capture_output=True, text=True)
    number = re.search(r"\d+\.\d+[\w.+-]*", told.stdout + told.stderr)
    return number[0] if number else "?"


def write(path, text):
    with open(path, "w") as file:
        file.write(text)
    return path


class Peers:
    """Starts them; `memory`, `files` (what nginx may keep, in memory too) and `largest` (object) are in MiB. `shared` gives
    Squid the memory that several processes could use: unlike its own, that goes on taking new objects when it is full.
    `listen`: more about the port that they listen on, as each of them says it; `store`: where nginx keeps its files."""

    def __init__(self, bench, origin, memory=256, files=1024, largest=2, shared=False, listen="", store=None):
        self.bench, self.origin, self.memory, self.files, self.largest = bench, origin, memory, files, largest
        self.shared, self.listen, self.store = "on" if shared else "off", listen, store or bench.memory

    def nginx(self, name, port, more=""):
        store = self.bench.room(f"{name}-store", self.store)
        return self.bench.start(name, nginx_words(self.bench.room(name), f"""
            proxy_cache_path {store} levels=1:2 keys_zone=c:64m max_size={self.files}m inactive=1d manager_files=10000 manager_threshold=2s
                use_temp_path=off;
            upstream origin {{ server {self.origin.address}; keepalive 64; }}
            {more}
            server {{
                listen 127.0.0.1:{port} backlog=4096 {self.listen};
                location / {{
                    proxy_pass http://origin; proxy_http_version 1.1;
                    proxy_set_header Connection ""; proxy_set_header Host $http_host;
                    proxy_cache c; proxy_cache_key $scheme$http_host$request_uri; proxy_cache_lock on;
                }} }}"""))

    def nginx_front(self, name, port, nodes):
        servers = " ".join(f"server 127.0.0.1:{node};" for node in nodes)
        return self.bench.start(name, nginx_words(self.bench.room(name), f"""
            upstream nodes {{ hash $request_uri consistent; {servers} keepalive 64; }}
            server {{
                listen 127.0.0.1:{port} backlog=4096;
                location / {{
                    proxy_pass http://nodes; proxy_http_version 1.1;
                    proxy_set_header Connection ""; proxy_set_header Host $http_host;
                }} }}"""))

    def squid(self, name, port, more="", mode=("-N",)):
        room = self.bench.room(name)
        path = write(f"{room}/squid.conf", f"""
http_port 127.0.0.1:{port} {self.listen}
http_access allow all
cache_mem {self.memory} MB
maximum_object_size {max(self.largest, 4)} MB
maximum_object_size_in_memory {self.largest} MB
memory_cache_shared {self.shared}
cache_effective_user proxy
pid_filename none
access_log none
cache_log {room}/log
cache_store_log none
coredump_dir {room}
shutdown_lifetime 1 second
visible_hostname {name}
{more}
""")
        return self.bench.start(name, ["squid", *mode, "-n", re.sub(r"\W", "", name), "-f", path])

    def squid_front(self, name, port, nodes):
        parents = "\n".join(
            f"cache_peer 127.0.0.1 parent {node} 0 carp no-query no-digest name=n{node}" for node in nodes)
        return self.squid(name, port, f"cache deny all\n{parents}\nnever_direct allow all")

    def varnish(self, name, port):
        room = self.bench.room(name)
        vcl = write(f"{room}/default.vcl", f"""vcl 4.1;
backend default {{ .host = "127.0.0.1"; .port = "{self.origin.port}"; }}
""")
        return self.bench.start(name, ["varnishd", "-F", "-n", f"{room}/work", "-a", f"127.0.0.1:{port}", "-T", "none",
                                       "-f", vcl, "-s", f"malloc,{self.memory}m", "-p", "nuke_limit=100000"])

    def haproxy(self, name, body):
        path = write(f"{self.bench.room(name)}/haproxy.cfg", f"""
global
  nbthread 1
  maxconn 5000
defaults
  mode http
  timeout client 600s
  timeout server 60s
  timeout connect 5s
  timeout http-keep-alive 600s
{body}
""")
        return self.bench.start(name, ["haproxy", "-db", "-f", path])

    def haproxy_cache(self, name, port):
        # It counts bodies and heads in one size, and 4095 is the most that it takes.
        return self.haproxy(name, f"""cache c
  total-max-size {min(2 * self.memory, 4095)}
  max-object-size 2000000
  max-age 36000
frontend f
  bind 127.0.0.1:{port} {self.listen}
  default_backend b
backend b
  http-request cache-use c
  http-response cache-store c
  server origin {self.origin.address}""")

    def haproxy_front(self, name, port, nodes):
        servers = "\n".join(f"  server n{node} 127.0.0.1:{node}" for node in nodes)
        return self.haproxy(name, f"""frontend f
  bind 127.0.0.1:{port}
  default_backend b
backend b
  balance uri whole
  hash-type consistent
  http-reuse always
{servers}""")

    def traffic_server(self, name, port, memory=512, files=512, store=None):
        root = traffic_server_root(self.bench, name, port, memory, files, store)
        return self.bench.start(name, ["traffic_server", f"--run-root={root}"])


def traffic_server_root(bench, name, port, memory, files, store):
    """A tree of its own, so that nothing under /etc or /var is touched; memory and what files may take (in `store`) in MiB."""
    room = bench.room(name)
    etc = bench.room("etc", room)
    for folder in ["cache", "log", "run"]:
        bench.room(folder, room)
    for file in os.listdir("/etc/trafficserver"):
        if file not in ("records.config", "storage.config") and os.path.isfile(f"/etc/trafficserver/{file}"):
            shutil.copy(f"/etc/trafficserver/{file}", etc)
    write(f"{etc}/storage.config", f"{store or f'{room}/cache'} {files}M\n")
    settings = {
        "http.server_ports STRING": f"{port}:ip-in=127.0.0.1", "admin.user_id STRING": "#-1",
        "url_remap.remap_required INT": 0, "reverse_proxy.enabled INT": 0, "log.logging_enabled INT": 0,
        "exec_thread.autoconfig INT": 0, "exec_thread.limit INT": 1,
        "cache.ram_cache.size INT": memory << 20, "dns.nameservers STRING": "127.0.0.1",
        "crash_log_helper STRING": "NULL",
    }
    with open("/etc/trafficserver/records.config") as file:
        stock = [line for line in file if not any(f"config.{key} " in line for key in settings)]
    ours = [f"CONFIG proxy.config.{key} {value}\n" for key, value in settings.items()]
    write(f"{etc}/records.config", "".join(stock + ours))
    places = {"prefix": room, "exec_prefix": room, "sysconfdir": etc, "localstatedir": f"{room}/run",
              "runtimedir": f"{room}/run", "logdir": f"{room}/log", "cachedir": f"{room}/cache",
              "bindir": "/usr/bin", "sbindir": "/usr/sbin", "datadir": "/usr/share/trafficserver",
              "libdir": "/usr/lib/trafficserver", "libexecdir": "/usr/lib/trafficserver/modules",
              "includedir": "/usr/include", "mandir": "/usr/share/man", "infodir": "/usr/share/info"}
    return write(f"{room}/runroot.yaml", "".join(f"{key}: {value}\n" for key, value in places.items()))


def single(method, program):
    def start(peers, name):
        port = peers.bench.port()
        return Subject(name, "cache", port, [getattr(peers, method)(name, port)], version(program))
    return start


def cluster(front, node, programs):
    """A front and three caches, the shape of ringhold's own."""
    def start(peers, name):
        ports = [peers.bench.port() for _ in range(3)]
        short = re.sub(r"\W", "", name)
        children = [getattr(peers, node)(f"{short}{place}", port) for place, port in enumerate(ports)]
        port = peers.bench.port()
        children.append(getattr(peers, front)(f"{short}front", port, ports))
        return Subject(name, "cluster", port, children, ", ".join(version(program) for program in programs))
    return start


# Name: the programs that it needs, and how it is started.
PEERS = {
    "squid": (["squid"], single("squid", "squid")),
    "traffic-server": (["traffic_server"], single("traffic_server", "traffic_server")),
    "nginx": (["nginx"], single("nginx", "nginx")),
    "haproxy": (["haproxy"], single("haproxy_cache", "haproxy")),
    "varnish": (["varnishd"], single("varnish", "varnishd")),
    "haproxy+3varnish": (["haproxy", "varnishd"], cluster("haproxy_front", "varnish", ["haproxy", "varnishd"])),
    "squid-carp+3squid": (["squid"], cluster("squid_front", "squid", ["squid"])),
    "nginx-hash+3nginx": (["nginx"], cluster("nginx_front", "nginx", ["nginx"])),
}


def missing(name):
    """The packages without which a peer cannot be measured."""
    return lacking(PEERS[name][0])


def lacking(programs):
    return [PACKAGES[program] for program in programs if not found(program)]
