//! An origin for machines without nginx, and for runs under valgrind; `/status` counts like nginx's stub_status.

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use limits::answer::{self, Answer};
use limits::serve::{argument, on_one_thread, serve};
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::convert::Infallible;
use std::io;
use std::rc::Rc;

#[derive(Default)]
struct Origin {
    requests: Cell<u64>,
    bodies: RefCell<HashMap<usize, Bytes>>,
}

fn main() -> io::Result<()> {
    let address = argument("--listen", "bare-origin --listen HOST:PORT");
    let origin = Rc::new(Origin::default());
    let service = service_fn(move |request: Request<Incoming>| {
        let answer = origin.answer(request.uri().path());
        async move { Ok::<_, Infallible>(answer) }
    });
    on_one_thread(serve(&address, service))
}

impl Origin {
    fn answer(&self, path: &str) -> Answer {
        self.requests.set(self.requests.get() + 1);
        if path == "/status" {
            let requests = self.requests.get();
            let text = format!("server accepts handled requests\n {requests} {requests} {requests}\n");
            return Response::new(Full::new(Bytes::from(text)));
        }
        let Some(kind) = answer::kind(path) else { return answer::not_found() };
        let body = self.bodies.borrow_mut().entry(kind.size).or_insert_with(|| answer::body(kind.size)).clone();
        answer::answer(answer::origin_fields(kind), body)
    }
}
