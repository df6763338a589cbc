//! `ringhold ring`

use super::api::Api;
use super::args::{PlanArgs, RingCommand as What};
use super::done::CommandFailure;
use super::show::{outline, percent, table};
use crate::ring::plan::{self, Plan, ShareChange};
use crate::ring::{Hash, Member, Ring};
use crate::wire::percent::encode;
use http::Method;
use serde::Deserialize;
use serde_json::{Value, json};
use std::time::Duration;

pub async fn run(api: &Api, what: What) -> Result<(), CommandFailure> {
    match what {
        What::Show => show(api).await,
        What::Owner { url } => owner(api, &url).await,
        What::Plan(args) => planned(api, &args).await,
    }
}

/// What is needed of `GET /v1/ring` to build the same ring here.
#[derive(Deserialize)]
struct Description {
    epoch: u64,
    hash: Hash,
    points: u32,
    members: Vec<Member>,
}

impl Description {
    fn read(answer: &Value) -> Result<Description, CommandFailure> {
        Deserialize::deserialize(answer)
            .map_err(|cause| CommandFailure(format!("the ring cannot be understood: {cause}")))
    }
    fn ring(&self, members: Vec<Member>) -> Ring {
        Ring::new(self.hash, self.points, members)
    }
}

async fn ask(api: &Api) -> Result<Value, CommandFailure> {
    api.ask(Method::GET, "/v1/ring", None, Duration::ZERO).await
}

async fn show(api: &Api) -> Result<(), CommandFailure> {
    let answer = ask(api).await?;
    let described = Description::read(&answer)?;
    let ring = described.ring(described.members.clone());
    api.print(&answer, |answer| {
        let mut head = answer.clone();
        if let Some(members) = head.as_object_mut() {
            members.remove("members");
        }
        format!("{}\n{}", outline(&head), members(&ring))
    })
}

fn members(ring: &Ring) -> String {
    let heads = ["ID", "WEIGHT", "SHARE"].map(str::to_owned).to_vec();
    let row = |(m, share): (&Member, f64)| vec![m.id.clone(), m.weight.to_string(), percent(share)];
    table(&std::iter::once(heads).chain(ring.members().iter().zip(ring.shares()).map(row)).collect::<Vec<_>>())
}

async fn owner(api: &Api, url: &str) -> Result<(), CommandFailure> {
    api.show(Method::GET, &format!("/v1/ring/owner?url={}", encode(url)), None, outline).await
}

async fn planned(api: &Api, args: &PlanArgs) -> Result<(), CommandFailure> {
    let described = Description::read(&ask(api).await?)?;
    let after = changed(&described.members, args).map_err(CommandFailure)?;
    let plan = plan::between(&described.ring(described.members.clone()), &described.ring(after));
    api.print(&as_json(described.epoch, &plan), |_| as_text(described.epoch, &plan))
}

/// The members after the change.
fn changed(members: &[Member], args: &PlanArgs) -> Result<Vec<Member>, String> {
    let mut after = members.to_vec();
    for id in &args.remove {
        let at = after.iter().position(|m| m.id == *id);
        after.remove(at.ok_or_else(|| format!("node {id} is not in the ring; see ringhold ring show"))?);
    }
    for id in &args.add {
        if after.iter().any(|m| m.id == *id) {
            return Err(format!("node {id} is in the ring already; see ringhold ring show"));
        }
        after.push(Member { id: id.clone(), weight: args.weight });
    }
    Ok(after)
}

fn as_json(epoch: u64, plan: &Plan) -> Value {
    let members = plan.members.iter().map(|c| json!({"id": c.id, "before": c.before, "after": c.after}));
    let moves = plan.moves.iter().map(|m| json!({"from": m.from, "to": m.to, "share": m.share}));
    json!({
        "epoch": epoch,
        "moved": plan.moved,
        "members": members.collect::<Vec<_>>(),
        "moves": moves.collect::<Vec<_>>(),
    })
}

fn as_text(epoch: u64, plan: &Plan) -> String {
    let heads = ["ID", "NOW", "THEN"].map(str::to_owned).to_vec();
    let share = |share: Option<f64>| share.map_or_else(|| "-".to_owned(), percent);
    let row = |c: &ShareChange| vec![c.id.clone(), share(c.before), share(c.after)];
    let mut out = table(&std::iter::once(heads).chain(plan.members.iter().map(row)).collect::<Vec<_>>());
    out.push_str(&format!("\n{} of all keys would move (from epoch {epoch}):\n", percent(plan.moved)));
    let name = |id: &Option<String>| id.clone().unwrap_or_else(|| "nobody".to_owned());
    for m in &plan.moves {
        out.push_str(&format!("  {} from {} to {}\n", percent(m.share), name(&m.from), name(&m.to)));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(add: &[&str], remove: &[&str]) -> Result<Vec<String>, String> {
        let words = |ids: &[&str]| ids.iter().map(|id| (*id).to_owned()).collect();
        let args = PlanArgs { add: words(add), weight: 2, remove: words(remove) };
        let members = ["n1", "n2"].map(|id| Member { id: id.to_owned(), weight: 1 });
        Ok(changed(&members, &args)?.into_iter().map(|m| format!("{}*{}", m.id, m.weight)).collect())
    }

    #[test]
    fn a_plan_removes_before_it_adds() {
        assert_eq!(plan(&["n3"], &["n1"]).unwrap(), ["n2*1", "n3*2"]);
        assert_eq!(plan(&["n1"], &["n1"]).unwrap(), ["n2*1", "n1*2"]);
        assert!(plan(&["n1"], &[]).unwrap_err().contains("already"));
        assert!(plan(&[], &["n9"]).unwrap_err().contains("not in the ring"));
    }
}
