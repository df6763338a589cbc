//! What `ringhold explain` prints: sentences.

use super::show::text;
use serde_json::Value;

/// So many clients are named.
const SHOWN: usize = 8;

/// `/v1/explain`'s answer, for people.
pub fn sentences(answer: &Value) -> String {
    if answer["answer"]["does"] == "tunnel" {
        let (key, why) = (text(&answer["key"]), text(&answer["answer"]["why"]));
        return format!("{key}\n{why}{}: no node has to do with it.", passed(&answer["tunnel"]));
    }
    let mut lines = vec![text(&answer["key"]), tunnel(&answer["tunnel"]), placed(answer)];
    match answer["stored"].as_array() {
        Some(stored) if !stored.is_empty() => lines.extend(stored.iter().map(entry)),
        _ => lines.push("Stored: nothing.".into()),
    }
    lines.push(on_disk(answer));
    if answer["being_fetched"] == true {
        lines.push("It is being fetched at this moment.".into());
    }
    lines.push(verdict(&answer["answer"]));
    lines.push(not_stored(answer));
    lines.retain(|line| !line.is_empty());
    lines.join("\n")
}

fn placed(answer: &Value) -> String {
    let others = answer["successors"].as_array().map_or(&[][..], |all| all.get(1..).unwrap_or_default());
    let others: Vec<String> = others.iter().map(text).collect();
    let then = if others.is_empty() { String::new() } else { format!("; after it come {}", others.join(", ")) };
    let (owner, position, epoch) = (text(&answer["owner"]), text(&answer["position"]), text(&answer["epoch"]));
    let mut line = format!("Its place on the ring is {position} (epoch {epoch}), owned by {owner}{then}.");
    match &answer["serving"] {
        Value::Null => line += " No node is up.",
        serving if *serving != answer["owner"] => line += &format!(" {owner} is down: {} answers.", text(serving)),
        _ => {}
    }
    line
}

fn tunnel(tunnel: &Value) -> String {
    match tunnel["intercepted"].as_bool() {
        None => String::new(),
        Some(true) => format!("A tunnel to it (CONNECT) is intercepted: {}.{}", text(&tunnel["why"]), refused(tunnel)),
        Some(false) => {
            format!("A tunnel to it (CONNECT) passes untouched{}: {}.", passed(tunnel), text(&tunnel["why"]))
        }
    }
}

/// As the log has it.
fn passed(tunnel: &Value) -> String {
    tunnel["passed"].as_str().map(|why| format!(" (passed:{why})")).unwrap_or_default()
}

/// Whose tunnels pass untouched all the same.
fn refused(tunnel: &Value) -> String {
    let by = tunnel["refused_by"].as_array().map_or(&[][..], |all| all);
    if by.is_empty() {
        return String::new();
    }
    let who = |refused: &Value| {
        let address = refused["address"].as_str().unwrap_or("a Unix socket");
        format!("{address} (for another {})", ago(refused["seconds"].as_u64().unwrap_or(0)))
    };
    let mut all: Vec<String> = by.iter().take(SHOWN).map(who).collect();
    if by.len() > SHOWN {
        all.push(format!("{} more", by.len() - SHOWN));
    }
    format!(
        " It passes untouched (passed:refused) for client programs that have refused our certificate: {}.",
        all.join(", ")
    )
}

fn entry(entry: &Value) -> String {
    let (status, size, age) = (text(&entry["status"]), text(&entry["size"]), text(&entry["age"]));
    let mut line = match &entry["part"] {
        Value::Null => format!("Stored: {status}, {size} bytes, {age} s old"),
        part => {
            let (from, to, of) = (text(&part["from"]), text(&part["to"]), text(&part["of"]));
            format!("Stored: the bytes from {from} up to {to} of {of}, {age} s old")
        }
    };
    let (lifetime, from) = (text(&entry["lifetime"]), text(&entry["lifetime_from"]));
    line += &match entry["ttl"].as_i64().unwrap_or(0) {
        ttl if ttl > 0 => format!(", fresh for another {ttl} s"),
        ttl => format!(", stale for {} s", ttl.unsigned_abs()),
    };
    line += &format!("; its lifetime is {lifetime} s, from {from}");
    for (name, label) in [("etag", "ETag"), ("last_modified", "Last-Modified"), ("vary", "Vary")] {
        if !entry[name].is_null() {
            line += &format!("; {label}: {}", text(&entry[name]));
        }
    }
    let values: Vec<String> = entry["selected_by"].as_array().map_or(&[][..], |all| all).iter().map(text).collect();
    if !values.is_empty() {
        line += &format!(", for requests with {}", values.join(" and "));
    }
    let says: Vec<String> = entry["says"].as_array().map_or(&[][..], |says| says).iter().map(text).collect();
    if !says.is_empty() {
        line += &format!("; it says {}", says.join(", "));
    }
    if entry["for"] != "anyone" {
        line += &format!("; for {} only", text(&entry["for"]));
    }
    let selected = if entry["selected"] == true { ". This is the one that the request selects." } else { "." };
    line + selected
}

/// Where it lies besides memory, or why it does not. Nothing where the node has no disk.
fn on_disk(answer: &Value) -> String {
    let (disk, is_stored) = (&answer["disk"], answer["stored"].as_array().is_some_and(|stored| !stored.is_empty()));
    let why = disk["why"].as_str();
    if disk["there"] == true {
        let place = if answer["in_memory"] == true {
            "in memory and on disk"
        } else {
            "on disk alone, until this asked for it"
        };
        if disk["written"] == false {
            return "It waits to be written to disk: until then a kill of the node loses it.".into();
        }
        let (bytes, since) = (text(&disk["bytes"]), ago(disk["since"].as_u64().unwrap_or(0)));
        let validated = why.map(|why| format!(". It is validated before it is answered with: {why}"));
        let validated = validated.unwrap_or_default();
        let file =
            disk["file_bytes"].as_u64().map(|bytes| format!(", and a file of {bytes} bytes")).unwrap_or_default();
        return format!("It lies {place}: {bytes} bytes of a segment that was begun {since} ago{file}{validated}.");
    }
    match why {
        Some(why) => format!("It is not on disk: {why}."),
        None if is_stored && !disk.is_null() => "It is not on disk.".into(),
        None => String::new(),
    }
}

fn ago(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
}

fn verdict(answer: &Value) -> String {
    let why = text(&answer["why"]);
    match answer["does"].as_str() {
        None => String::new(),
        Some("hit") => format!("A GET now is answered from the cache with {}: {why}.", text(&answer["status"])),
        Some("504") => format!("A GET now is answered with 504: nothing usable is stored, and {why}."),
        Some("validate") => format!("A GET now asks the origin whether what is stored is still good: {why}."),
        Some("forward") => format!("A GET now goes to the origin ({}): {why}.", text(&answer["fwd"])),
        Some(_) => format!(
            "A GET now is answered from the cache with {}, and the origin asked meanwhile: {why}.",
            text(&answer["status"])
        ),
    }
}

fn not_stored(answer: &Value) -> String {
    let nothing = answer["stored"].as_array().is_some_and(Vec::is_empty);
    match &answer["not_stored"] {
        Value::Null if nothing => {
            "No answer to it was refused a place in the last two minutes: it was not asked for, or has been purged, or made way for others."
                .into()
        }
        Value::Null => String::new(),
        why => {
            let remedy = answer["remedy"].as_str().map(|remedy| format!(" To have it stored: {remedy}."));
            format!("The last answer from the origin was not stored: {}.{}", text(why), remedy.unwrap_or_default())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn where_it_lies_on_disk_is_a_sentence() {
        let said = |disk: Value, in_memory| on_disk(&json!({"disk": disk, "in_memory": in_memory, "stored": [{}]}));
        let there = |why: Value| json!({"there": true, "bytes": 640, "since": 10_900, "why": why});
        for (disk, in_memory, expected) in [
            (Value::Null, true, ""),
            (json!({"there": false}), true, "It is not on disk."),
            (json!({"there": false, "why": "x"}), true, "It is not on disk: x."),
            (
                json!({"there": true, "written": false, "bytes": 640, "since": 1}),
                true,
                "It waits to be written to disk: until then a kill of the node loses it.",
            ),
            (there(Value::Null), true, "It lies in memory and on disk: 640 bytes of a segment that was begun 3 h ago."),
            (
                there("y".into()),
                false,
                "It lies on disk alone, until this asked for it: 640 bytes of a segment that was begun 3 h ago. It is validated before it is answered with: y.",
            ),
            (
                json!({"there": true, "bytes": 256, "file_bytes": 3_000_391, "since": 75}),
                false,
                "It lies on disk alone, until this asked for it: 256 bytes of a segment that was begun 75 s ago, and a file of 3000391 bytes.",
            ),
        ] {
            assert_eq!(said(disk, in_memory), expected);
        }
    }

    #[test]
    fn what_becomes_of_a_tunnel_is_named_as_in_the_log() {
        let refused = json!([{"address": "10.0.0.1", "seconds": 500}, {"address": null, "seconds": 9}]);
        for (said, expected) in [
            (Value::Null, ""),
            (json!({"intercepted": true, "why": "x"}), "A tunnel to it (CONNECT) is intercepted: x."),
            (
                json!({"intercepted": true, "why": "x", "refused_by": refused}),
                "A tunnel to it (CONNECT) is intercepted: x. It passes untouched (passed:refused) for client programs that have refused our certificate: 10.0.0.1 (for another 8 min), a Unix socket (for another 9 s).",
            ),
            (
                json!({"intercepted": false, "passed": null, "why": "x"}),
                "A tunnel to it (CONNECT) passes untouched: x.",
            ),
            (
                json!({"intercepted": false, "passed": "origin", "why": "x"}),
                "A tunnel to it (CONNECT) passes untouched (passed:origin): x.",
            ),
        ] {
            assert_eq!(tunnel(&said), expected);
        }
    }

    #[test]
    fn an_empty_answer_is_no_panic() {
        assert!(sentences(&json!({})).contains("Stored: nothing."));
        assert!(
            sentences(&json!({"stored": [{"part": 1, "says": 2}], "answer": 3, "successors": []})).contains("Stored")
        );
    }

    #[test]
    fn a_stale_part_and_a_fresh_whole_are_told_apart() {
        let entry = |part: Value, ttl| {
            super::entry(
                &json!({"status": 200, "size": 5, "age": 3, "ttl": ttl, "lifetime": 2, "lifetime_from": "max-age",
                "part": part, "for": "anyone", "etag": "\"a\"", "says": ["no-cache"], "selected": true}),
            )
        };
        assert_eq!(
            entry(Value::Null, 7),
            "Stored: 200, 5 bytes, 3 s old, fresh for another 7 s; its lifetime is 2 s, from max-age; ETag: \"a\"; it says no-cache. This is the one that the request selects."
        );
        let part = entry(json!({"from": 0, "to": 5, "of": 9}), -1);
        assert!(
            part.starts_with("Stored: the bytes from 0 up to 5 of 9, 3 s old, stale for 1 s; its lifetime is 2 s"),
            "{part}"
        );
    }
}
