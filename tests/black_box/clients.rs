//! The client commands against an admin API that is told what to answer.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Output};
use std::thread::JoinHandle;

/// What one client asked.
struct Asked {
    line: String,
    fields: Vec<String>,
    body: String,
}

/// Answers one request with `answer` and gives back what was asked.
fn server(answer: String) -> (SocketAddr, JoinHandle<Asked>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let thread = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let asked = read(&stream);
        stream.write_all(answer.as_bytes()).unwrap();
        asked
    });
    (address, thread)
}

fn read(stream: &TcpStream) -> Asked {
    let mut reader = BufReader::new(stream);
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        match line.trim_end() {
            "" => break,
            line => lines.push(line.to_owned()),
        }
    }
    let length = lines.iter().find_map(|l| l.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    reader.read_exact(&mut body).unwrap();
    Asked { line: lines.remove(0), fields: lines, body: String::from_utf8(body).unwrap() }
}

fn ok(body: &str) -> String {
    answer("200 OK", body)
}

fn answer(status: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

/// Runs `ringhold WORDS OPTION ADDRESS` against a server.
fn run(words: &str, option: &str, answer: String) -> (Output, Asked) {
    let (address, thread) = server(answer);
    let mut command = Command::new(env!("CARGO_BIN_EXE_ringhold"));
    command.args(words.split(' ')).args([option, &address.to_string()]);
    let output = command.env("RINGHOLD_TOKEN", "t0ken").output().unwrap();
    (output, thread.join().unwrap())
}

fn stdout(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[test]
fn every_command_asks_what_the_api_offers() {
    let rows = [
        ("nodes list", "GET /v1/nodes", ""),
        ("nodes add n4 --spawn", "POST /v1/nodes", r#"{"id":"n4","spawn":true,"weight":1}"#),
        (
            "nodes add r2 --address 127.0.0.1:5003 --weight 2",
            "POST /v1/nodes",
            r#"{"address":"127.0.0.1:5003","id":"r2","weight":2}"#,
        ),
        ("nodes remove n4", "DELETE /v1/nodes/n4", ""),
        ("nodes remove n4 --drain 30s", "DELETE /v1/nodes/n4?drain=30s", ""),
        ("nodes remove n4 --drain 1500ms", "DELETE /v1/nodes/n4?drain=1500ms", ""),
        ("nodes drain n1", "PATCH /v1/nodes/n1", r#"{"state":"draining"}"#),
        ("nodes set-weight n1 3", "PATCH /v1/nodes/n1", r#"{"weight":3}"#),
        ("ring owner http://a.example/?b=c", "GET /v1/ring/owner?url=http%3A%2F%2Fa.example%2F%3Fb%3Dc", ""),
        ("explain http://a/ -H Accept:text/*", "GET /v1/explain?url=http%3A%2F%2Fa%2F&header=accept%3Atext%2F%2A", ""),
        ("purge http://a/", "DELETE /v1/cache?url=http%3A%2F%2Fa%2F", ""),
    ];
    for (words, line, body) in rows {
        let (output, asked) = run(words, "--admin", ok("{}"));
        assert!(output.status.success(), "{words}: {}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(asked.line, format!("{line} HTTP/1.1"), "{words}");
        assert_eq!(asked.body, body, "{words}");
        assert!(
            asked.fields.iter().any(|f| f.eq_ignore_ascii_case("authorization: Bearer t0ken")),
            "{:?}",
            asked.fields
        );
        let json = asked.fields.iter().any(|f| f.eq_ignore_ascii_case("content-type: application/json"));
        assert_eq!(json, !body.is_empty(), "{words}");
    }
}

#[test]
fn a_problem_is_one_line_and_exit_code_1() {
    let problem = answer("404 Not Found", r#"{"title":"Not Found","detail":"there is no node n9","status":404}"#);
    let (output, _) = run("nodes drain n9", "--admin", problem);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "error: Not Found: there is no node n9\n");
}

const RING: &str =
    r#"{"epoch":7,"digest":"0f","hash":"xxh3","points":512,"members":[{"id":"n1","weight":1},{"id":"n2","weight":1}]}"#;

#[test]
fn json_is_the_answer_itself() {
    let (output, _) = run("ring show --json", "--admin", ok(RING));
    let value = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
    assert_eq!(value(&stdout(&output)), value(RING));
}

#[test]
fn the_ring_is_shown_with_its_shares() {
    let (output, _) = run("ring show", "--admin", ok(RING));
    let said = stdout(&output);
    assert!(said.contains("epoch: 7\n"), "{said}");
    assert!(said.contains("ID  WEIGHT  SHARE\nn1  1       "), "{said}");
}

#[test]
fn a_plan_for_a_joiner_moves_only_what_it_gets() {
    let (output, asked) = run("ring plan --add n3 --json", "--admin", ok(RING));
    assert_eq!(asked.line, "GET /v1/ring HTTP/1.1");
    let plan: serde_json::Value = serde_json::from_str(&stdout(&output)).unwrap();
    let moved = plan["moved"].as_f64().unwrap();
    assert!((0.28..0.39).contains(&moved), "{plan}");
    let moves = plan["moves"].as_array().unwrap();
    assert_eq!(moves.len(), 2, "{plan}");
    assert!(moves.iter().all(|m| m["to"] == "n3"), "{plan}");
    let (output, _) = run("ring plan --add n3", "--admin", ok(RING));
    assert!(stdout(&output).contains(" of all keys would move (from epoch 7):\n"));
}

#[test]
fn get_asks_the_proxy_in_absolute_form_and_prints_the_body_alone() {
    let origin = || "HTTP/1.1 200 OK\r\nCache-Status: n1; hit\r\nContent-Length: 4\r\n\r\n\0\u{1}hi".to_owned();
    let (output, asked) = run("get http://a.example/b?c -H X-A:b", "--proxy", origin());
    assert_eq!(asked.line, "GET http://a.example/b?c HTTP/1.1");
    assert!(asked.fields.iter().any(|f| f.eq_ignore_ascii_case("x-a: b")), "{:?}", asked.fields);
    assert_eq!(stdout(&output), "\0\u{1}hi");
    let (output, _) = run("get --head http://a.example/", "--proxy", origin());
    assert!(stdout(&output).starts_with("HTTP/1.1 200 OK\r\ncache-status: n1; hit\r\n"));
}

#[test]
fn a_broken_transfer_is_a_failure() {
    let short = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf".to_owned();
    let (output, _) = run("get http://a.example/", "--proxy", short);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(output.stdout, b"half");
    assert!(String::from_utf8(output.stderr).unwrap().starts_with("error: the answer broke off"));
}
