//! The origin of a set of URLs, `/z/17`, each with a size of its own; `/status` tells the requests and the bytes of bodies
//! that came to it so far (itself left out), and how many bytes the set has.

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use limits::answer::{self, Answer, Kind};
use limits::serve::{argument, on_one_thread, serve};
use limits::web::Sizes;
use std::cell::Cell;
use std::convert::Infallible;
use std::io;
use std::rc::Rc;

const USAGE: &str = "web-origin --listen HOST:PORT --objects N [--sizes log-uniform]";

struct Origin {
    sizes: Sizes,
    objects: u64,
    bytes_of_set: u64,
    requests: Cell<u64>,
    bytes: Cell<u64>,
    body: Bytes,
}

fn main() -> io::Result<()> {
    let address = argument("--listen", USAGE);
    let objects = argument("--objects", USAGE).parse().map_err(io::Error::other)?;
    let sizes = Sizes::from_arguments();
    let (bytes_of_set, body) = (sizes.bytes(objects), answer::body(sizes.largest()));
    let origin = Rc::new(Origin { sizes, objects, bytes_of_set, requests: Cell::new(0), bytes: Cell::new(0), body });
    let service = service_fn(move |request: Request<Incoming>| {
        let answer = origin.answer(request.uri().path());
        async move { Ok::<_, Infallible>(answer) }
    });
    on_one_thread(serve(&address, service))
}

impl Origin {
    fn answer(&self, path: &str) -> Answer {
        if path == "/status" {
            let text = format!("{} {} {}\n", self.requests.get(), self.bytes.get(), self.bytes_of_set);
            return Response::new(Full::new(Bytes::from(text)));
        }
        let number = path.strip_prefix("/z/").and_then(|number| number.parse().ok());
        let Some(number) = number.filter(|number| (1..=self.objects).contains(number)) else {
            return answer::not_found();
        };
        let size = self.sizes.size(number);
        self.requests.set(self.requests.get() + 1);
        self.bytes.set(self.bytes.get() + size as u64);
        let fields = answer::origin_fields(Kind { control: "public, max-age=36000", varies: false, size });
        answer::answer(fields, self.body.slice(..size))
    }
}
