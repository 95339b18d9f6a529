//! One state of the world: queue manager, Kafka, network, readers, and the faults that may still happen.

/// Most readers and most messages of a run.
pub(crate) const READERS: usize = 3;
pub(crate) const MESSAGES: usize = 4;
/// No offset.
pub(crate) const NONE: u8 = 255;
/// Most entries of an id log: offsets are bytes.
pub(crate) const LOG_MAX: usize = 250;

/// A set of messages, one bit each.
pub(crate) type Set = u8;

pub(crate) const fn bit(message: usize) -> Set {
    1 << message
}

/// What is explored: the recommended protocol, or one with a known error.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Protocol {
    Recommended,
    /// The queue commits before Kafka does.
    MqFirst,
    /// Kafka first, but nobody looks whether a message was delivered.
    NoCheck,
    /// A message with BackoutCount > 0 is looked up among the committed ids; nothing else.
    BcLookup,
    /// Recommended, but only for messages with BackoutCount > 0.
    BcOnly,
    /// A look before producing; the own claim is not read back.
    LookOnce,
    /// An earlier claim that is undecided does not count.
    UndecidedNo,
    /// An earlier claim that is undecided counts as delivered.
    UndecidedYes,
    /// Ids are forgotten as soon as it is read that they left the queue.
    ForgetAtDone,
    /// Of each reader only the last claim is kept.
    LastBatch,
    /// DONE is written before the queue has confirmed.
    EarlyDone,
    /// The id log is cut without regard to claims that are not settled.
    BadCut,
    /// Two different messages have one MsgId, and nothing else is looked at.
    MsgIdOnly,
}

impl Protocol {
    /// Whether readers judge by the order of claims in the id log.
    pub(crate) const fn judges(self) -> bool {
        !matches!(self, Self::MqFirst | Self::NoCheck | Self::BcLookup)
    }
}

/// How often each fault may still happen in one run.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Faults {
    /// A reader's process dies. Its requests and its connection live on for a while.
    pub(crate) crashes: u8,
    /// A connection to the queue manager breaks, or the answer to MQCMIT is lost.
    pub(crate) breaks: u8,
    /// The queue manager restarts; all BackoutCounts are 0 again.
    pub(crate) restarts: u8,
    /// The transaction of a reader that lives times out.
    pub(crate) timeouts: u8,
    /// A request to Kafka gets lost.
    pub(crate) lost: u8,
    /// A reader that lives is fenced by another, or loses its patience.
    pub(crate) fences: u8,
    /// The id log is cut.
    pub(crate) cuts: u8,
    /// A claim is repeated at the end of the id log.
    pub(crate) carries: u8,
}

/// One run's setting.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(crate) protocol: Protocol,
    pub(crate) readers: usize,
    pub(crate) messages: usize,
    /// Most messages in one unit of work.
    pub(crate) batch: u32,
    pub(crate) faults: Faults,
    /// A reader that died begins again.
    pub(crate) restarts: bool,
    /// Paths that need a longer id log are not followed.
    pub(crate) log_max: usize,
}

impl Plan {
    /// All messages that cannot be told from this one.
    pub(crate) fn key(&self, message: usize) -> Set {
        match self.protocol == Protocol::MsgIdOnly && message < 2 {
            true => bit(0) | bit(1),
            false => bit(message),
        }
    }

    pub(crate) fn messages(&self) -> std::ops::Range<usize> {
        0..self.messages
    }
}

/// Where a message is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    Queue,
    /// In the unit of work of this reader's connection.
    Unit(u8),
    /// Committed: it has left the queue for good.
    Gone,
}

/// A reader's connection as the queue manager sees it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Connection {
    No,
    Open,
    /// Open, but its reader has died.
    Orphan,
}

/// Where a reader is in the protocol.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pc {
    Down,
    /// Needs InitProducerId, which aborts what it left open.
    Init,
    Ready,
    /// Unit of work open: gets messages.
    Getting,
    /// Claim and data are sent; the id log is read up to the own claim.
    Sent,
    /// EndTxn(commit) is sent, its outcome not known.
    Ending,
    /// Kafka has committed, or everything in hand was a duplicate: commits the queue.
    Committing,
    /// The queue has committed, DONE is not written.
    Committed,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reader {
    pub(crate) pc: Pc,
    /// Its producer epoch is still the newest.
    pub(crate) is_current: bool,
    pub(crate) hand: Set,
    /// Of these, got with BackoutCount > 0.
    pub(crate) doubtful: Set,
    pub(crate) deliver: Set,
    /// Not to be delivered: Kafka has them.
    pub(crate) discard: Set,
    /// Offset of the own claim.
    pub(crate) claim: u8,
    /// Next offset to read of the id log.
    pub(crate) position: u8,
    /// First offset that this life has read.
    pub(crate) first: u8,
    /// Position when the unit of work began: `s`.
    pub(crate) since: u8,
}

impl Reader {
    pub(crate) const fn at(pc: Pc, first: u8) -> Self {
        Self {
            pc,
            is_current: false,
            hand: 0,
            doubtful: 0,
            deliver: 0,
            discard: 0,
            claim: NONE,
            position: first,
            first,
            since: 0,
        }
    }
}

/// The transaction coordinator's state of one transactional id.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Txn {
    Empty,
    Ongoing {
        claim: u8,
        data: Set,
    },
    /// Decided, marker not written. What it delivers counts from the decision on.
    Commits {
        claim: u8,
    },
    Aborts,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// `who` claims `set`, in its transaction.
    Claim,
    CommitMarker,
    AbortMarker,
    /// The claim at `of` (or none) has left the queue, and with it the duplicates in `discarded`.
    Done,
    /// The committed claim at `of` again.
    Carry,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) kind: Kind,
    pub(crate) who: u8,
    pub(crate) set: Set,
    pub(crate) discarded: Set,
    pub(crate) of: u8,
}

impl Entry {
    pub(crate) const fn new(kind: Kind, who: usize, set: Set) -> Self {
        Self {
            kind,
            who: who as u8,
            set,
            discarded: 0,
            of: NONE,
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Outcome {
    Undecided,
    Aborted,
    Committed,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Violation {
    /// Consumers of committed records see a message twice.
    Duplicate,
    /// It has left the queue, and Kafka does not have it.
    Loss,
}

#[derive(Clone)]
pub(crate) struct World {
    pub(crate) place: [Place; MESSAGES],
    pub(crate) backouts: [u8; MESSAGES],
    /// Copies of a message that consumers of committed records see, or will.
    pub(crate) copies: [u8; MESSAGES],
    pub(crate) connection: [Connection; READERS],
    pub(crate) txn: [Txn; READERS],
    /// Claim and data on their way to the broker.
    pub(crate) produce: [Option<Set>; READERS],
    /// EndTxn(commit) on its way.
    pub(crate) end: [bool; READERS],
    pub(crate) reader: [Reader; READERS],
    pub(crate) faults: Faults,
    /// Before this offset the id log was cut.
    pub(crate) cut: u8,
    pub(crate) log: Vec<Entry>,
}

impl World {
    pub(crate) fn new(plan: &Plan) -> Self {
        let reader = Reader {
            is_current: true,
            ..Reader::at(Pc::Ready, 0)
        };
        let mut world = Self {
            place: [Place::Gone; MESSAGES],
            backouts: [0; MESSAGES],
            copies: [1; MESSAGES],
            connection: [Connection::No; READERS],
            txn: [Txn::Empty; READERS],
            produce: [None; READERS],
            end: [false; READERS],
            reader: [reader; READERS],
            faults: plan.faults,
            cut: 0,
            log: Vec::new(),
        };
        for message in plan.messages() {
            world.place[message] = Place::Queue;
            world.copies[message] = 0;
        }
        world
    }

    pub(crate) fn len(&self) -> u8 {
        self.log.len() as u8
    }

    /// Outcome of the claim at `claim`, as far as the log up to `end` shows it.
    pub(crate) fn outcome(&self, claim: usize, end: usize) -> Outcome {
        let who = self.log[claim].who;
        let behind = self.log[..end].iter().skip(claim + 1);
        for entry in behind.filter(|entry| entry.who == who) {
            match entry.kind {
                Kind::CommitMarker => return Outcome::Committed,
                Kind::AbortMarker => return Outcome::Aborted,
                _ => {}
            }
        }
        Outcome::Undecided
    }

    /// First offset from `from` to `end` at which it is known that messages of `key`, claimed at `claim`, have left
    /// the queue.
    pub(crate) fn settled(&self, claim: u8, key: Set, from: usize, end: usize) -> Option<usize> {
        (from..end).find(|at| {
            let entry = &self.log[*at];
            let own = claim != NONE && entry.of == claim;
            let discarded = *at > usize::from(claim) && entry.discarded & key != 0;
            entry.kind == Kind::Done && (own || discarded)
        })
    }

    /// A newer epoch: the broker refuses what is on its way of the older one.
    pub(crate) fn bump(&mut self, reader: usize) {
        self.reader[reader].is_current = false;
        self.produce[reader] = None;
        self.end[reader] = false;
    }

    /// The queue manager puts back what is in a connection's unit of work.
    pub(crate) fn back_out(&mut self, reader: usize) {
        for message in 0..MESSAGES {
            if self.place[message] == Place::Unit(reader as u8) {
                self.place[message] = Place::Queue;
                // More than two are not told apart.
                self.backouts[message] = (self.backouts[message] + 1).min(2);
            }
        }
    }

    pub(crate) fn commit_queue(&mut self, reader: usize) {
        for place in &mut self.place {
            if *place == Place::Unit(reader as u8) {
                *place = Place::Gone;
            }
        }
    }

    /// The reader begins afresh; if its connection lives, its messages go back.
    pub(crate) fn give_up(&mut self, reader: usize, pc: Pc) {
        if self.connection[reader] == Connection::Open {
            self.back_out(reader);
        }
        let reader = &mut self.reader[reader];
        *reader = Reader {
            pc,
            is_current: reader.is_current,
            position: reader.position,
            first: reader.first,
            since: reader.since,
            ..Reader::at(pc, 0)
        };
    }

    /// Everything before this offset may be deleted.
    pub(crate) fn low_water(&self, plan: &Plan) -> usize {
        let end = self.log.len();
        let mut low = end;
        for (at, entry) in self.log.iter().enumerate() {
            if entry.kind != Kind::Claim {
                continue;
            }
            match self.outcome(at, end) {
                Outcome::Aborted => {}
                Outcome::Undecided => low = low.min(at),
                Outcome::Committed => {
                    let is_open = plan.messages().any(|message| {
                        entry.set & bit(message) != 0
                            && self.settled(at as u8, bit(message), 0, end).is_none()
                    });
                    if is_open && plan.protocol != Protocol::BadCut {
                        let repeated = |entry: &Entry| {
                            entry.kind == Kind::Carry && usize::from(entry.of) == at
                        };
                        let newest = self.log.iter().rposition(repeated);
                        low = low.min(newest.unwrap_or(at));
                    }
                }
            }
        }
        low
    }

    pub(crate) fn violation(&self, plan: &Plan) -> Option<Violation> {
        for message in plan.messages() {
            if self.copies[message] > 1 {
                return Some(Violation::Duplicate);
            }
            if self.place[message] == Place::Gone
                && self.copies[message] == 0
                && !self.may_still_come(plan, message)
            {
                return Some(Violation::Loss);
            }
        }
        None
    }

    /// Of a message that left the queue first: whether somebody still has it.
    fn may_still_come(&self, plan: &Plan, message: usize) -> bool {
        let has = |reader: usize| {
            let hand =
                self.reader[reader].pc != Pc::Down && self.reader[reader].hand & bit(message) != 0;
            let way = self.produce[reader].is_some_and(|data| data & bit(message) != 0);
            let open =
                matches!(self.txn[reader], Txn::Ongoing { data, .. } if data & bit(message) != 0);
            hand || way || open
        };
        plan.protocol == Protocol::MqFirst && (0..plan.readers).any(has)
    }

    /// All delivered, once.
    pub(crate) fn is_finished(&self, plan: &Plan) -> bool {
        let mut all = plan.messages();
        all.all(|message| self.place[message] == Place::Gone && self.copies[message] == 1)
    }

    /// Nothing is under way any more.
    pub(crate) fn is_quiet(&self, plan: &Plan) -> bool {
        (0..plan.readers).all(|reader| {
            self.txn[reader] == Txn::Empty
                && self.produce[reader].is_none()
                && self.reader[reader].hand == 0
        })
    }
}
