//! Every step that can come next: of readers, of the network, of the brokers, and faults.

use crate::judge;
use crate::world::{
    Connection, Entry, Kind, NONE, Outcome, Pc, Place, Plan, Protocol, Reader, Txn, World, bit,
};

/// What happened, for traces.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Label {
    pub(crate) name: &'static str,
    pub(crate) reader: u8,
    pub(crate) argument: u8,
    /// Something big that goes wrong: drawn more seldom.
    pub(crate) is_fault: bool,
}

/// Collects the states that follow one.
pub(crate) struct Steps<'a> {
    plan: &'a Plan,
    world: &'a World,
    next: &'a mut Vec<(Label, World)>,
    /// A step would have made the id log too long.
    is_full: bool,
}

/// Fills `next`. Whether the id log had no room for a step.
pub(crate) fn steps(plan: &Plan, world: &World, next: &mut Vec<(Label, World)>) -> bool {
    next.clear();
    let mut steps = Steps {
        plan,
        world,
        next,
        is_full: false,
    };
    for reader in 0..plan.readers {
        steps.of_reader(reader);
        steps.of_brokers(reader);
        steps.faults_of(reader);
    }
    steps.restart_of_queue_manager();
    steps.care_of_id_log();
    steps.is_full
}

impl Steps<'_> {
    fn push(
        &mut self,
        name: &'static str,
        reader: usize,
        argument: usize,
        change: impl FnOnce(&mut World),
    ) {
        let mut world = self.world.clone();
        change(&mut world);
        let label = Label {
            name,
            reader: reader as u8,
            argument: argument as u8,
            is_fault: false,
        };
        self.next.push((label, world));
    }

    fn go(&mut self, name: &'static str, reader: usize, change: impl FnOnce(&mut World)) {
        self.push(name, reader, 0, change);
    }

    fn fault(&mut self, name: &'static str, reader: usize, change: impl FnOnce(&mut World)) {
        self.push(name, reader, 0, change);
        if let Some((label, _)) = self.next.last_mut() {
            label.is_fault = true;
        }
    }

    /// A step that writes `entry` to the id log.
    fn write(
        &mut self,
        name: &'static str,
        reader: usize,
        entry: Entry,
        change: impl FnOnce(&mut World),
    ) {
        if self.world.log.len() >= self.plan.log_max {
            self.is_full = true;
            return;
        }
        self.push(name, reader, 0, |world| {
            world.log.push(entry);
            change(world);
        });
    }

    fn of_reader(&mut self, r: usize) {
        let (plan, world) = (self.plan, self.world);
        let reader = world.reader[r];
        let reads = matches!(reader.pc, Pc::Getting | Pc::Sent | Pc::Ending);
        if reads && reader.position < world.len() && plan.protocol.judges() {
            if reader.position < world.cut {
                self.go("log was cut ahead: gives up the batch", r, |world| {
                    world.give_up(r, Pc::Init);
                    world.reader[r].first = world.cut;
                    world.reader[r].position = world.cut;
                });
            } else {
                self.go("reads one entry", r, |world| world.reader[r].position += 1);
            }
        }
        match reader.pc {
            Pc::Down if plan.restarts => self.go("begins again", r, |world| {
                world.reader[r] = Reader::at(Pc::Init, world.cut);
            }),
            Pc::Down => {}
            Pc::Init => self.init(r),
            Pc::Ready => match world.connection[r] {
                Connection::Orphan => {}
                _ => self.go("unit of work begins", r, |world| {
                    world.connection[r] = Connection::Open;
                    world.reader[r].since = world.reader[r].position;
                    world.reader[r].pc = Pc::Getting;
                }),
            },
            Pc::Getting => self.getting(r),
            Pc::Sent => self.sent(r),
            Pc::Ending => self.ending(r),
            Pc::Committing => self.committing(r),
            Pc::Committed => self.committed(r),
        }
    }

    fn init(&mut self, r: usize) {
        match self.world.txn[r] {
            Txn::Empty => self.go("InitProducerId", r, |world| {
                world.bump(r);
                let reader = &mut world.reader[r];
                reader.is_current = true;
                reader.pc = match reader.hand {
                    0 => Pc::Ready,
                    // The unit of work is still open: the same messages again.
                    _ => Pc::Getting,
                };
                reader.claim = NONE;
                reader.deliver = 0;
                reader.discard = 0;
            }),
            Txn::Ongoing { .. } => self.go("InitProducerId aborts the own transaction", r, |w| {
                w.bump(r);
                w.txn[r] = Txn::Aborts;
            }),
            // Answered with CONCURRENT_TRANSACTIONS until the marker is written.
            Txn::Commits { .. } | Txn::Aborts => {}
        }
    }

    fn getting(&mut self, r: usize) {
        let (plan, world) = (self.plan, self.world);
        let reader = world.reader[r];
        if world.connection[r] == Connection::No {
            self.go("notices that the connection broke", r, |world| {
                world.give_up(r, Pc::Ready);
            });
        } else if reader.hand.count_ones() < plan.batch {
            for message in plan.messages() {
                if world.place[message] == Place::Queue {
                    self.push("gets", r, message, |world| {
                        world.place[message] = Place::Unit(r as u8);
                        world.reader[r].hand |= bit(message);
                        if world.backouts[message] > 0 {
                            world.reader[r].doubtful |= bit(message);
                        }
                    });
                }
            }
        }
        if reader.hand == 0 {
            return;
        }
        let discard = judge::known(plan, world, r);
        self.go("produces claim and data", r, |world| {
            let reader = &mut world.reader[r];
            reader.discard = discard;
            reader.deliver = reader.hand & !discard;
            reader.claim = NONE;
            if reader.deliver == 0 {
                reader.pc = Pc::Committing;
                return;
            }
            reader.pc = Pc::Sent;
            if plan.protocol == Protocol::MqFirst {
                if world.connection[r] != Connection::Open {
                    world.give_up(r, Pc::Ready);
                    return;
                }
                world.commit_queue(r);
            }
            if reader_is_current(world, r) {
                world.produce[r] = Some(world.reader[r].deliver);
            }
        });
    }

    fn sent(&mut self, r: usize) {
        let (plan, world) = (self.plan, self.world);
        let reader = world.reader[r];
        let reads_back = plan.protocol.judges() && plan.protocol != Protocol::LookOnce;
        if let (Some(data), Txn::Empty) = (world.produce[r], world.txn[r]) {
            let entry = Entry::new(Kind::Claim, r, data);
            self.write("claim and data arrive", r, entry, |world| {
                let claim = world.len() - 1;
                world.txn[r] = Txn::Ongoing { claim, data };
                world.reader[r].claim = claim;
                world.produce[r] = None;
            });
        }
        let has_arrived = reader.claim != NONE;
        if !reader.is_current {
            self.go("fenced: begins the transaction again", r, |world| {
                world.reader[r].pc = Pc::Init;
            });
        } else if !has_arrived && world.produce[r].is_none() {
            self.go("claim was lost: begins the transaction again", r, |world| {
                world.reader[r].pc = Pc::Init;
            });
        } else if has_arrived && !reads_back {
            self.end("commits without a look", r);
        } else if has_arrived && reader.position > reader.claim {
            match judge::own_claim(plan, world, r) {
                judge::Own::Taken => {
                    self.go("an earlier claim was first: aborts", r, |world| {
                        world.reader[r].pc = Pc::Init;
                    });
                }
                judge::Own::Waits(owner) => self.fences(r, owner),
                judge::Own::First => self.end("own claim is first: commits", r),
            }
        }
        if world.produce[r].is_some() && world.faults.lost > 0 {
            self.go("claim gets lost", r, |world| {
                world.produce[r] = None;
                world.faults.lost -= 1;
            });
        }
        if world.faults.fences > 0 && reader.is_current && plan.protocol.judges() {
            self.go("loses patience: begins the transaction again", r, |world| {
                world.faults.fences -= 1;
                world.reader[r].pc = Pc::Init;
            });
        }
    }

    fn end(&mut self, name: &'static str, r: usize) {
        self.go(name, r, |world| {
            world.end[r] = true;
            world.reader[r].pc = Pc::Ending;
        });
    }

    /// Ends the transaction of the owner of an undecided claim that is in the way.
    fn fences(&mut self, r: usize, owner: usize) {
        let is_dead = self.world.reader[owner].pc == Pc::Down;
        let is_open = matches!(self.world.txn[owner], Txn::Ongoing { .. });
        if owner == r || !is_open || (!is_dead && self.world.faults.fences == 0) {
            return;
        }
        self.push("fences the owner of an earlier claim", r, owner, |world| {
            if !is_dead {
                world.faults.fences -= 1;
            }
            world.bump(owner);
            world.txn[owner] = Txn::Aborts;
        });
    }

    fn ending(&mut self, r: usize) {
        let (plan, world) = (self.plan, self.world);
        let reader = world.reader[r];
        let is_mq_first = plan.protocol == Protocol::MqFirst;
        // Who does not read the id log is told by the coordinator.
        let seen = match plan.protocol.judges() {
            true => usize::from(reader.position),
            false => world.log.len(),
        };
        let outcome = match usize::from(reader.claim) < seen {
            true => world.outcome(usize::from(reader.claim), seen),
            false => Outcome::Undecided,
        };
        match outcome {
            Outcome::Committed if is_mq_first => self.go("is committed", r, |world| {
                let reader = &mut world.reader[r];
                reader.pc = Pc::Ready;
                reader.hand = 0;
                reader.doubtful = 0;
                reader.deliver = 0;
                reader.claim = NONE;
            }),
            Outcome::Committed => self.go("reads that it is committed", r, |world| {
                world.reader[r].pc = Pc::Committing;
            }),
            Outcome::Aborted if plan.protocol.judges() || is_mq_first => {
                self.go("reads that it is aborted: again", r, |world| {
                    world.reader[r].pc = Pc::Init;
                });
            }
            Outcome::Aborted => self.go("is aborted: gives up the batch", r, |world| {
                world.give_up(r, Pc::Init);
            }),
            Outcome::Undecided => {
                let txn = world.txn[r];
                let claim = reader.claim;
                if txn == (Txn::Commits { claim }) && reader.is_current && !is_mq_first {
                    self.go("EndTxn is answered before its marker", r, |world| {
                        world.reader[r].pc = Pc::Committing;
                    });
                }
                let is_open = matches!(txn, Txn::Ongoing { claim: open, .. } if open == claim);
                if !world.end[r] && reader.is_current && is_open {
                    self.go("sends EndTxn again", r, |world| world.end[r] = true);
                }
            }
        }
        if world.end[r] && world.faults.lost > 0 {
            self.go("EndTxn gets lost", r, |world| {
                world.end[r] = false;
                world.faults.lost -= 1;
            });
        }
    }

    fn committing(&mut self, r: usize) {
        let (plan, world) = (self.plan, self.world);
        if world.connection[r] != Connection::Open {
            self.go("queue commit fails: connection broke", r, |world| {
                world.give_up(r, Pc::Ready);
            });
            return;
        }
        if plan.protocol == Protocol::EarlyDone {
            let done = self.done(r);
            self.write("writes DONE too early", r, done, |world| {
                world.reader[r].pc = Pc::Committed;
            });
        } else {
            self.go("commits the queue", r, |world| {
                world.commit_queue(r);
                world.reader[r].pc = Pc::Committed;
            });
        }
        if world.faults.breaks > 0 {
            self.go("commits the queue, answer lost", r, |world| {
                world.faults.breaks -= 1;
                world.commit_queue(r);
                world.connection[r] = Connection::No;
                world.give_up(r, Pc::Ready);
            });
        }
    }

    fn done(&self, r: usize) -> Entry {
        let reader = &self.world.reader[r];
        Entry {
            discarded: reader.discard,
            of: reader.claim,
            ..Entry::new(Kind::Done, r, reader.deliver)
        }
    }

    fn committed(&mut self, r: usize) {
        let (plan, world) = (self.plan, self.world);
        if plan.protocol == Protocol::EarlyDone {
            let is_open = world.connection[r] == Connection::Open;
            self.go("commits the queue after DONE", r, |world| {
                if is_open {
                    world.commit_queue(r);
                }
                world.give_up(r, Pc::Ready);
            });
        } else if plan.protocol.judges() {
            let done = self.done(r);
            self.write("writes DONE", r, done, |world| world.give_up(r, Pc::Ready));
        } else {
            self.go("next", r, |world| world.give_up(r, Pc::Ready));
        }
    }

    /// Network and transaction coordinator.
    fn of_brokers(&mut self, r: usize) {
        let world = self.world;
        let pc = world.reader[r].pc;
        if let (Some(data), Txn::Empty, false) = (world.produce[r], world.txn[r], pc == Pc::Sent) {
            let entry = Entry::new(Kind::Claim, r, data);
            self.write("claim and data arrive late", r, entry, |world| {
                let claim = world.len() - 1;
                world.txn[r] = Txn::Ongoing { claim, data };
                world.produce[r] = None;
            });
        }
        if world.end[r] {
            self.go("EndTxn arrives", r, |world| {
                world.end[r] = false;
                if let Txn::Ongoing { claim, data } = world.txn[r] {
                    world.txn[r] = Txn::Commits { claim };
                    for (message, copies) in world.copies.iter_mut().enumerate() {
                        *copies += u8::from(data & bit(message) != 0);
                    }
                }
            });
        }
        match world.txn[r] {
            Txn::Empty => {}
            Txn::Commits { .. } => {
                let marker = Entry::new(Kind::CommitMarker, r, 0);
                self.write("commit marker", r, marker, |w| w.txn[r] = Txn::Empty);
            }
            Txn::Aborts => {
                let marker = Entry::new(Kind::AbortMarker, r, 0);
                self.write("abort marker", r, marker, |w| w.txn[r] = Txn::Empty);
            }
            Txn::Ongoing { .. } if pc == Pc::Down || world.faults.timeouts > 0 => {
                self.go("transaction times out", r, |world| {
                    if pc != Pc::Down {
                        world.faults.timeouts -= 1;
                    }
                    world.bump(r);
                    world.txn[r] = Txn::Aborts;
                });
            }
            Txn::Ongoing { .. } => {}
        }
        if world.connection[r] == Connection::Orphan {
            self.go("queue manager ends an orphaned connection", r, |world| {
                world.back_out(r);
                world.connection[r] = Connection::No;
            });
        }
    }

    fn faults_of(&mut self, r: usize) {
        let world = self.world;
        if world.faults.crashes > 0 && world.reader[r].pc != Pc::Down {
            self.fault("CRASHES", r, |world| {
                world.faults.crashes -= 1;
                if world.connection[r] == Connection::Open {
                    world.connection[r] = Connection::Orphan;
                }
                world.reader[r] = Reader::at(Pc::Down, 0);
            });
        }
        let is_open = world.connection[r] == Connection::Open;
        if world.faults.breaks > 0 && is_open && world.reader[r].hand != 0 {
            self.fault("CONNECTION BREAKS unnoticed", r, |world| {
                world.faults.breaks -= 1;
                world.back_out(r);
                world.connection[r] = Connection::No;
            });
        }
    }

    fn restart_of_queue_manager(&mut self) {
        let world = self.world;
        let mut connections = world.connection[..self.plan.readers].iter();
        if world.faults.restarts == 0 || connections.all(|one| *one == Connection::No) {
            return;
        }
        let readers = self.plan.readers;
        self.fault("QUEUE MANAGER RESTARTS", 0, |world| {
            world.faults.restarts -= 1;
            for reader in 0..readers {
                world.back_out(reader);
                world.connection[reader] = Connection::No;
            }
            world.backouts.fill(0);
        });
    }

    /// Whoever is up to date may do it.
    fn care_of_id_log(&mut self) {
        let (plan, world) = (self.plan, self.world);
        if world.faults.carries > 0 && world.log.len() < plan.log_max {
            for (at, entry) in world.log.iter().enumerate() {
                if entry.kind == Kind::Claim
                    && world.outcome(at, world.log.len()) == Outcome::Committed
                {
                    let carry = Entry {
                        of: at as u8,
                        ..Entry::new(Kind::Carry, usize::from(entry.who), entry.set)
                    };
                    self.write("repeats a claim", usize::from(entry.who), carry, |world| {
                        world.faults.carries -= 1;
                    });
                }
            }
        }
        if world.faults.cuts > 0 {
            let low = world.low_water(plan);
            if low > usize::from(world.cut) {
                self.push("cuts the id log", 0, low, |world| {
                    world.faults.cuts -= 1;
                    world.cut = low as u8;
                });
            }
        }
    }
}

fn reader_is_current(world: &World, reader: usize) -> bool {
    world.reader[reader].is_current
}
