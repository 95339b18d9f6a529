//! The command line of `daybook queue`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

/// Run the queue manager alone, or look after queues (see `daybook queue --help`)
///
/// Without a command the queue manager runs, and applications put and get with IBM MQ's own clients.
///
/// The commands look after the queues of a queue manager that runs: Daybook's own at the address of the
/// configuration, or any other, IBM MQ included, with --connect:
///
///   daybook queue list
///   daybook queue browse DAYBOOK.BACKOUT --limit 3 --full
///   daybook queue replay DAYBOOK.BACKOUT
///   daybook queue list 'APP.*' --connect 'mq.example.com(1414)' --channel ADMIN.SVRCONN \
///     --user admin --password-file secret.txt --tls-ca ca.pem
///
/// `list`, `define`, `alter`, `delete` and `purge` are PCF commands; the user needs the right `admin`
/// (IBM MQ: +dsp, +crt, +chg, +dlt, +clr). The others put and get.
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct QueueArgs {
    #[command(subcommand)]
    pub(crate) action: Option<QueueAction>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum QueueAction {
    /// Print the argon2 hash of a password (first line of stdin) for `[[queue.user]]`
    Password,
    /// Depth, oldest message, rates, uncommitted messages and open handles of queues
    List(ListArgs),
    /// Define a queue
    Define(DefineArgs),
    /// Change a queue's attributes; what is not named stays
    Alter(AlterArgs),
    /// Delete a queue
    Delete(DeleteArgs),
    /// Delete all messages of a queue that nobody has open (CLEAR QLOCAL)
    Purge(PurgeArgs),
    /// Show messages without taking them
    Browse(BrowseArgs),
    // As with `Replay`, the text is with the arguments.
    Move(MoveArgs),
    Replay(ReplayArgs),
}

/// Which queue manager.
#[derive(Debug, Args, Default)]
#[command(next_help_heading = "Queue manager")]
pub(crate) struct ConnectArgs {
    /// Address, as `host(port)`; then nothing of [queue.client] counts [default: of the configuration]
    #[arg(long, value_name = "HOST(PORT)")]
    pub(crate) connect: Option<String>,
    /// Server-connection channel [default: of the configuration]
    #[arg(long)]
    pub(crate) channel: Option<String>,
    /// Its name; without it whichever answers
    #[arg(long, value_name = "NAME")]
    pub(crate) queue_manager: Option<String>,
    /// User
    #[arg(long)]
    pub(crate) user: Option<String>,
    /// File whose first line is the password
    #[arg(long, value_name = "FILE", requires = "user")]
    pub(crate) password_file: Option<PathBuf>,
    /// Speak TLS; the file has the roots that the queue manager's certificate must come from
    #[arg(long, value_name = "FILE")]
    pub(crate) tls_ca: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum QueueFormat {
    /// For people
    Table,
    /// One object a line
    Json,
}

#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// Queue, or the beginning of names and `*`; without it all but SYSTEM.*
    pub(crate) pattern: Option<String>,
    /// Go on every second, until Ctrl-C
    #[arg(long)]
    pub(crate) watch: bool,
    /// How to print
    #[arg(long, default_value = "table")]
    pub(crate) format: QueueFormat,
    #[command(flatten)]
    pub(crate) connect: ConnectArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Allowed {
    Enabled,
    Disabled,
}

/// What can be said of a queue.
#[derive(Debug, Args, Default)]
#[command(next_help_heading = "Attributes")]
pub(crate) struct AttributeArgs {
    /// What it is for (DESCR)
    #[arg(long, value_name = "TEXT")]
    pub(crate) description: Option<String>,
    /// Most messages (MAXDEPTH)
    #[arg(long, value_name = "N")]
    pub(crate) max_depth: Option<i32>,
    /// Longest message in bytes (MAXMSGL)
    #[arg(long, value_name = "BYTES")]
    pub(crate) max_message_length: Option<i32>,
    /// Whether messages survive a restart when their putter does not say (DEFPSIST)
    #[arg(long, value_name = "BOOL")]
    pub(crate) persistent: Option<bool>,
    /// Priority of messages whose putter does not say, 0 to 9 (DEFPRTY)
    #[arg(long, value_name = "N")]
    pub(crate) priority: Option<i32>,
    /// Whether anybody may put
    #[arg(long)]
    pub(crate) put: Option<Allowed>,
    /// Whether anybody may get
    #[arg(long)]
    pub(crate) get: Option<Allowed>,
    /// Backouts after which applications set a message aside; 0 = never (BOTHRESH)
    #[arg(long, value_name = "N")]
    pub(crate) backout_threshold: Option<i32>,
    /// Where they put it then (BOQNAME)
    #[arg(long, value_name = "QUEUE")]
    pub(crate) backout_queue: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct DefineArgs {
    /// Its name
    pub(crate) queue: String,
    /// A model: opening it makes a temporary queue
    #[arg(long)]
    pub(crate) model: bool,
    /// Define it anew if it is there; its messages stay
    #[arg(long)]
    pub(crate) replace: bool,
    #[command(flatten)]
    pub(crate) attributes: AttributeArgs,
    #[command(flatten)]
    pub(crate) connect: ConnectArgs,
}

#[derive(Debug, Args)]
pub(crate) struct AlterArgs {
    /// Its name
    pub(crate) queue: String,
    /// It is a model
    #[arg(long)]
    pub(crate) model: bool,
    #[command(flatten)]
    pub(crate) attributes: AttributeArgs,
    #[command(flatten)]
    pub(crate) connect: ConnectArgs,
}

#[derive(Debug, Args)]
pub(crate) struct DeleteArgs {
    /// Its name
    pub(crate) queue: String,
    /// Also if there are messages on it, and them too
    #[arg(long)]
    pub(crate) purge: bool,
    #[command(flatten)]
    pub(crate) connect: ConnectArgs,
}

#[derive(Debug, Args)]
pub(crate) struct PurgeArgs {
    /// Its name
    pub(crate) queue: String,
    /// Do not ask
    #[arg(long, short)]
    pub(crate) yes: bool,
    #[command(flatten)]
    pub(crate) connect: ConnectArgs,
}

#[derive(Debug, Args)]
pub(crate) struct BrowseArgs {
    /// Its name
    pub(crate) queue: String,
    /// Most messages
    #[arg(long, default_value_t = 20, value_name = "N")]
    pub(crate) limit: u64,
    /// Whole bodies, not only their beginning
    #[arg(long)]
    pub(crate) full: bool,
    /// How to print
    #[arg(long, default_value = "table")]
    pub(crate) format: QueueFormat,
    #[command(flatten)]
    pub(crate) connect: ConnectArgs,
}

/// Move messages to another queue, each exactly once
///
/// Moves the messages that are there when it begins, in order, in units of work of at most 500 messages
/// or 1 MiB: whatever dies in between, each message is on one of the two queues. They keep identifiers,
/// time, priority and everything else, which needs the right to set context.
#[derive(Debug, Args)]
pub(crate) struct MoveArgs {
    /// From where
    pub(crate) from: String,
    /// To where
    pub(crate) to: String,
    /// Most messages
    #[arg(long, value_name = "N")]
    pub(crate) limit: Option<u64>,
    #[command(flatten)]
    pub(crate) connect: ConnectArgs,
}

/// Put messages of a backout queue back to where they came from, each exactly once
///
/// As `move`, but only what can be counted: transactions as the gateway writes them. Anything else stays
/// where it is and is told, with the reason. What the gateway refused (DAYBOOK.QUARANTINE) cannot be
/// replayed: it is what the sender sent, so it has to be mended and sent again.
#[derive(Debug, Args)]
pub(crate) struct ReplayArgs {
    /// From where
    #[arg(default_value = types::names::QUEUE_BACKOUT)]
    pub(crate) queue: String,
    /// To where
    #[arg(long, default_value = types::names::QUEUE_TRANSACTIONS, value_name = "QUEUE")]
    pub(crate) to: String,
    /// Most messages
    #[arg(long, value_name = "N")]
    pub(crate) limit: Option<u64>,
    #[command(flatten)]
    pub(crate) connect: ConnectArgs,
}
