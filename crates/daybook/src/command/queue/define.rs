//! `daybook queue define`, `alter`, `delete` and `purge`.

use std::io::{BufRead as _, IsTerminal as _, Write as _};

use anyhow::Context as _;
use mq_wire::PcfParameter;

use super::admin::Admin;
use crate::cli::{Allowed, AlterArgs, AttributeArgs, DefineArgs, DeleteArgs, PurgeArgs};

const CHANGE_Q: i32 = 8;
const CLEAR_Q: i32 = 9;
const CREATE_Q: i32 = 11;
const DELETE_Q: i32 = 12;
const INQUIRE_Q_STATUS: i32 = 41;
const CURRENT_Q_DEPTH: i32 = 3;
const Q_NAME: i32 = 2016;
const Q_TYPE: i32 = 20;
const REPLACE: i32 = 1006;
const PURGE: i32 = 1007;
const LOCAL: i32 = 1;
const MODEL: i32 = 2;

fn named(queue: &str, model: bool) -> Vec<PcfParameter> {
    let queue_type = if model { MODEL } else { LOCAL };
    vec![
        PcfParameter::text(Q_NAME, queue),
        PcfParameter::integer(Q_TYPE, queue_type),
    ]
}

fn attributes(args: &AttributeArgs) -> Vec<PcfParameter> {
    let inhibited =
        |allowed: &Option<Allowed>| allowed.map(|allowed| i32::from(allowed == Allowed::Disabled));
    let numbers = [
        (15, args.max_depth),
        (13, args.max_message_length),
        (5, args.persistent.map(i32::from)),
        (6, args.priority),
        (10, inhibited(&args.put)),
        (9, inhibited(&args.get)),
        (22, args.backout_threshold),
    ];
    let texts = [(2013, &args.description), (2019, &args.backout_queue)];
    let numbers = numbers
        .into_iter()
        .filter_map(|(id, value)| Some(PcfParameter::integer(id, value?)));
    let texts = texts
        .into_iter()
        .filter_map(|(id, value)| Some(PcfParameter::text(id, value.as_deref()?)));
    numbers.chain(texts).collect()
}

pub(super) async fn define(admin: &mut Admin, args: &DefineArgs) -> anyhow::Result<()> {
    let mut parameters = named(&args.queue, args.model);
    if args.replace {
        parameters.push(PcfParameter::integer(REPLACE, 1));
    }
    parameters.extend(attributes(&args.attributes));
    admin
        .ask(CREATE_Q, parameters)
        .await
        .with_context(|| format!("{} was not defined", args.queue))?;
    eprintln!("{} is defined", args.queue);
    Ok(())
}

pub(super) async fn alter(admin: &mut Admin, args: &AlterArgs) -> anyhow::Result<()> {
    let changes = attributes(&args.attributes);
    anyhow::ensure!(
        !changes.is_empty(),
        "nothing to change: name an attribute, such as --max-depth (`daybook queue alter --help`)"
    );
    let mut parameters = named(&args.queue, args.model);
    parameters.extend(changes);
    admin
        .ask(CHANGE_Q, parameters)
        .await
        .with_context(|| format!("{} was not altered", args.queue))?;
    eprintln!("{} is altered", args.queue);
    Ok(())
}

pub(super) async fn delete(admin: &mut Admin, args: &DeleteArgs) -> anyhow::Result<()> {
    let mut parameters = vec![PcfParameter::text(Q_NAME, &args.queue)];
    if args.purge {
        parameters.push(PcfParameter::integer(PURGE, 1));
    }
    admin
        .ask(DELETE_Q, parameters)
        .await
        .with_context(|| format!("{} was not deleted", args.queue))?;
    eprintln!("{} is deleted", args.queue);
    Ok(())
}

pub(super) async fn purge(admin: &mut Admin, args: &PurgeArgs) -> anyhow::Result<()> {
    let queue = &args.queue;
    let name = vec![PcfParameter::text(Q_NAME, queue)];
    let status = admin
        .ask(INQUIRE_Q_STATUS, name.clone())
        .await
        .with_context(|| format!("{queue} was not purged"))?;
    let depth = status
        .first()
        .and_then(|status| status.number(CURRENT_Q_DEPTH));
    let depth = depth.unwrap_or(0);
    if depth == 0 {
        eprintln!("{queue} is empty");
        return Ok(());
    }
    if !args.yes && !confirmed(queue, depth)? {
        anyhow::bail!("nothing was deleted");
    }
    admin
        .ask(CLEAR_Q, name)
        .await
        .with_context(|| format!("{queue} was not purged"))?;
    eprintln!("{queue} is empty; it had {depth} messages");
    Ok(())
}

fn confirmed(queue: &str, depth: i64) -> anyhow::Result<bool> {
    let stdin = std::io::stdin();
    anyhow::ensure!(
        stdin.is_terminal(),
        "{queue} has {depth} messages; to delete them without being asked say --yes"
    );
    let mut out = std::io::stderr().lock();
    write!(
        out,
        "{queue} has {depth} messages. They cannot be had back. Delete them? [y/N] "
    )?;
    out.flush()?;
    let mut answer = String::new();
    stdin.lock().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}
