//! Statuses and framings of answers, and those that break off.

use super::*;

/// Statuses and framings.
pub fn answers() -> Vec<Case> {
    vec![
        case(
            "204",
            four(get("")),
            |x, _| x.reply_empty(204, "Cache-Control: max-age=1000\r\n"),
            vec![Status(&[204; 4])],
        ),
        case(
            "304 that nobody asked for",
            four(get("")),
            |x, _| x.reply_empty(304, "ETag: \"a\"\r\nCache-Control: no-store\r\n"),
            vec![Status(&[304; 4])],
        ),
        case(
            "301, stored",
            four(get("")),
            |x, _| x.reply(301, "Cache-Control: max-age=1000\r\nLocation: /there\r\n", "there"),
            vec![Status(&[301; 4]), Asked(&[1; 4]), Has(4, "location: /there")],
        ),
        case(
            "302",
            four(get("")),
            |x, _| x.reply(302, "Location: /there\r\n", "there"),
            vec![Status(&[302; 4]), Asked(&[1, 2, 3, 4])],
        ),
        case(
            "404, stored",
            four(get("")),
            |x, _| x.reply(404, "Cache-Control: max-age=1000\r\n", "gone"),
            vec![Status(&[404; 4]), Asked(&[1; 4])],
        ),
        case(
            "503",
            four(get("")),
            |x, _| x.reply(503, "Retry-After: 9\r\n", "busy"),
            vec![Status(&[503; 4]), Asked(&[1, 2, 3, 4]), Has(4, "retry-after: 9")],
        ),
        case("599", four(get("")), |x, _| x.reply(599, "Cache-Control: no-store\r\n", "odd"), vec![Status(&[599; 4])]),
        case(
            "a reason of its own",
            four(get("")),
            |x, n| x.raw(format!("HTTP/1.1 200 Very Well\r\nCache-Control: no-store\r\nContent-Length: 1\r\n\r\n{n}")),
            vec![Status(&[200; 4])],
        ),
        case(
            "chunked",
            four(get("")),
            |x, _| {
                x.begin_chunked("Cache-Control: max-age=1000\r\n")?;
                x.chunk("hel")?;
                x.chunk("lo")?;
                x.end_chunked("")
            },
            vec![Body(&["hello"; 4]), Asked(&[1; 4])],
        )
        .open_ended(),
        case(
            "chunked, not stored",
            four(get("")),
            |x, _| {
                x.begin_chunked("Cache-Control: no-store\r\n")?;
                x.chunk("hel")?;
                x.chunk("lo")?;
                x.end_chunked("")
            },
            vec![Body(&["hello"; 4])],
        )
        .open_ended(),
        case(
            "chunked, 100 KiB",
            four(get("")),
            |x, _| {
                x.begin_chunked("Cache-Control: no-store\r\n")?;
                x.chunk("k".repeat(100 << 10))?;
                x.end_chunked("")
            },
            vec![Status(&[200; 4])],
        )
        .open_ended(),
        case(
            "until the end",
            four(get("")),
            |x, _| until_close(x, "Cache-Control: max-age=1000\r\n", "hello"),
            vec![Body(&["hello"; 4]), Asked(&[1; 4])],
        )
        .open_ended(),
        case(
            "until the end, not stored",
            four(get("")),
            |x, _| until_close(x, "Cache-Control: no-store\r\n", "hello"),
            vec![Body(&["hello"; 4])],
        )
        .open_ended(),
        case(
            "of HTTP/1.0",
            four(get("")),
            |x, _| {
                x.hang_up();
                x.raw("HTTP/1.0 200 OK\r\nCache-Control: max-age=1000\r\nContent-Length: 5\r\n\r\nhello")
            },
            vec![Body(&["hello"; 4]), Asked(&[1; 4]), Has(1, "via: 1.1 ringhold")],
        ),
        case(
            "one length twice",
            four(get("")),
            |x, _| {
                let head =
                    "HTTP/1.1 200 OK\r\nCache-Control: no-store\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n";
                x.raw(format!("{head}hello"))
            },
            vec![Status(&[200; 4]), Body(&["hello"; 4])],
        ),
        case(
            "trailers",
            four(get("TE: trailers\r\nConnection: TE\r\n")),
            |x, _| {
                x.begin_chunked("Cache-Control: no-store\r\nTrailer: X-Sum\r\n")?;
                x.chunk("hello")?;
                x.end_chunked("X-Sum: 5\r\nContent-Length: 9\r\nRinghold-X: y\r\n")
            },
            vec![Body(&["hello"; 4])],
        )
        .open_ended(),
        case(
            "trailers that nobody asked for",
            four(get("")),
            |x, _| {
                x.begin_chunked("Cache-Control: no-store\r\nTrailer: X-Sum\r\n")?;
                x.chunk("hello")?;
                x.end_chunked("X-Sum: 5\r\n")
            },
            vec![Body(&["hello"; 4])],
        )
        .open_ended(),
        case(
            "trailers of what is stored",
            four(get("TE: trailers\r\nConnection: TE\r\n")),
            |x, _| {
                x.begin_chunked("Cache-Control: max-age=1000\r\nTrailer: X-Sum\r\n")?;
                x.chunk("hello")?;
                x.end_chunked("X-Sum: 5\r\n")
            },
            vec![Body(&["hello"; 4]), Asked(&[1; 4])],
        )
        .open_ended(),
        case(
            "interim answers",
            four(get("")),
            |x, n| {
                x.raw("HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\nLink: </b>\r\nConnection: x-gone\r\nX-Gone: a\r\nRinghold-X: b\r\n\r\n")?;
                x.reply(200, "Cache-Control: no-store\r\n", format!("answer {n}"))
            },
            vec![Interim(1, &[102, 103]), Interim(4, &[102, 103])],
        ),
        case(
            "an interim answer before what is stored",
            four(get("")),
            |x, n| {
                x.raw("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n")?;
                x.reply(200, "Cache-Control: max-age=1000\r\n", format!("answer {n}"))
            },
            vec![Interim(1, &[103]), Interim(2, &[]), Asked(&[1; 4])],
        ),
        case(
            "stale while it is renewed",
            vec![get(""); 2],
            |x, n| {
                x.reply(
                    200,
                    "Cache-Control: max-age=1000, stale-while-revalidate=1000\r\nAge: 1000\r\nETag: \"a\"\r\n",
                    format!("answer {n}"),
                )
            },
            vec![Body(&["answer 0", "answer 0"])],
        )
        .background(2),
        case(
            "an old copy in place of an error",
            four(get("")),
            |x, n| match n {
                0 => x.reply(200, "Cache-Control: max-age=0, stale-if-error=1000\r\n", "good"),
                _ => x.reply(500, "", "bad"),
            },
            vec![Status(&[200; 4]), Body(&["good"; 4]), Asked(&[1, 2, 3, 4])],
        ),
    ]
}

/// Answers that break off, and what is none.
pub fn broken() -> Vec<Case> {
    vec![
        case("no answer", four(get("")), hangs_up, vec![Status(&[502; 4])]),
        case("a reset", four(get("")), |x, _| x.reset(), vec![Status(&[502; 4])]),
        case(
            "half a head",
            four(get("")),
            |x, _| {
                x.hang_up();
                x.raw("HTTP/1.1 200 OK\r\nCache-Con")
            },
            vec![Status(&[502; 4])],
        ),
        case(
            "half a body",
            four(get("")),
            |x, _| {
                x.hang_up();
                x.begin_sized("Cache-Control: max-age=1000\r\n", 9)?;
                x.raw("hello")
            },
            vec![Ends(1, End::Cut)],
        )
        .open_ended(),
        case(
            "no body",
            four(get("")),
            |x, _| {
                x.hang_up();
                x.begin_sized("Cache-Control: no-store\r\n", 9)
            },
            vec![],
        )
        .open_ended(),
        case(
            "half a chunk",
            four(get("")),
            |x, _| {
                x.hang_up();
                x.begin_chunked("Cache-Control: no-store\r\n")?;
                x.raw("9\r\nhello")
            },
            vec![Ends(1, End::Cut)],
        )
        .open_ended(),
        case("no HTTP", four(get("")), |x, _| x.raw("220 mail.example.com ESMTP\r\n\r\n"), vec![Status(&[502; 4])]),
        case(
            "two lengths",
            four(get("")),
            |x, _| x.raw("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!"),
            vec![Status(&[502; 4])],
        ),
        case(
            "another coding",
            four(get("")),
            |x, _| x.raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
            vec![Status(&[502; 4])],
        ),
        case(
            "a line without a colon is passed over",
            four(get("")),
            |x, _| x.raw("HTTP/1.1 200 OK\r\nnothing\r\nContent-Length: 0\r\n\r\n"),
            vec![Status(&[200; 4])],
        ),
        case("HEAD that is not answered", vec![ask("HEAD", ""); 2], hangs_up, vec![Status(&[502; 2])]),
    ]
}

fn hangs_up(x: &mut Exchange, _: usize) -> Done {
    x.hang_up();
    Ok(())
}
