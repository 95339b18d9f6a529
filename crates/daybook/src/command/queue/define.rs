//! `daybook queue define`, `alter`, `delete` and `purge`.

use std::io::{BufRead as _, IsTerminal as _, Write as _};

use anyhow::Context as _;
use mq_wire::PcfParameter;
use mq_wire::mqi::{attribute, command, id, queue_type};

use super::admin::Admin;
use crate::cli::{Allowed, AlterArgs, AttributeArgs, DefineArgs, DeleteArgs, PurgeArgs};

fn named(queue: &str, model: bool) -> Vec<PcfParameter> {
    let kind = if model {
        queue_type::MODEL
    } else {
        queue_type::LOCAL
    };
    vec![
        PcfParameter::text(attribute::Q_NAME, queue),
        PcfParameter::integer(attribute::Q_TYPE, kind),
    ]
}

fn attributes(args: &AttributeArgs) -> Vec<PcfParameter> {
    let inhibited =
        |allowed: &Option<Allowed>| allowed.map(|allowed| i32::from(allowed == Allowed::Disabled));
    let numbers = [
        (attribute::MAX_Q_DEPTH, args.max_depth),
        (attribute::MAX_MSG_LENGTH, args.max_message_length),
        (attribute::DEF_PERSISTENCE, args.persistent.map(i32::from)),
        (attribute::DEF_PRIORITY, args.priority),
        (attribute::INHIBIT_PUT, inhibited(&args.put)),
        (attribute::INHIBIT_GET, inhibited(&args.get)),
        (attribute::BACKOUT_THRESHOLD, args.backout_threshold),
    ];
    let texts = [
        (attribute::Q_DESC, &args.description),
        (attribute::BACKOUT_REQ_Q_NAME, &args.backout_queue),
    ];
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
        parameters.push(PcfParameter::integer(id::REPLACE, 1));
    }
    parameters.extend(attributes(&args.attributes));
    admin
        .ask(command::CREATE_Q, parameters)
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
        .ask(command::CHANGE_Q, parameters)
        .await
        .with_context(|| format!("{} was not altered", args.queue))?;
    eprintln!("{} is altered", args.queue);
    Ok(())
}

pub(super) async fn delete(admin: &mut Admin, args: &DeleteArgs) -> anyhow::Result<()> {
    let mut parameters = vec![PcfParameter::text(attribute::Q_NAME, &args.queue)];
    if args.purge {
        parameters.push(PcfParameter::integer(id::PURGE, 1));
    }
    admin
        .ask(command::DELETE_Q, parameters)
        .await
        .with_context(|| format!("{} was not deleted", args.queue))?;
    eprintln!("{} is deleted", args.queue);
    Ok(())
}

pub(super) async fn purge(admin: &mut Admin, args: &PurgeArgs) -> anyhow::Result<()> {
    let queue = &args.queue;
    let name = vec![PcfParameter::text(attribute::Q_NAME, queue)];
    let status = admin
        .ask(command::INQUIRE_Q_STATUS, name.clone())
        .await
        .with_context(|| format!("{queue} was not purged"))?;
    let depth = status
        .first()
        .and_then(|status| status.number(attribute::CURRENT_Q_DEPTH));
    let depth = depth.unwrap_or(0);
    if depth == 0 {
        eprintln!("{queue} is empty");
        return Ok(());
    }
    if !args.yes && !confirmed(queue, depth)? {
        anyhow::bail!("nothing was deleted");
    }
    admin
        .ask(command::CLEAR_Q, name)
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
