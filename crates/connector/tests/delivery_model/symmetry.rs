//! States that differ only in the names of readers and messages are one.

use crate::world::{MESSAGES, Place, Plan, Protocol, Set, Txn, World, bit};

/// A way to swap readers and messages that changes nothing but their names.
pub(crate) struct Symmetry {
    reader_to: Vec<usize>,
    message_to: Vec<usize>,
    /// What becomes of each set of messages.
    sets: [Set; 1 << MESSAGES],
}

impl Symmetry {
    pub(crate) fn all(plan: &Plan) -> Vec<Self> {
        let messages = match plan.protocol {
            // Two of them are not like the others.
            Protocol::MsgIdOnly => vec![plan.messages().collect()],
            _ => permutations(plan.messages),
        };
        let mut all = Vec::new();
        for reader_to in permutations(plan.readers) {
            for message_to in &messages {
                let mut sets = [0; 1 << MESSAGES];
                for (set, becomes) in sets.iter_mut().enumerate() {
                    for (from, to) in message_to.iter().enumerate() {
                        if set & (1 << from) != 0 {
                            *becomes |= bit(*to);
                        }
                    }
                }
                all.push(Self {
                    reader_to: reader_to.clone(),
                    message_to: message_to.clone(),
                    sets,
                });
            }
        }
        all
    }

    fn set(&self, set: Set) -> Set {
        self.sets[usize::from(set)]
    }

    fn reader(&self, reader: u8) -> u8 {
        self.reader_to[usize::from(reader)] as u8
    }

    /// The state as bytes, with its names swapped. Different states give different bytes.
    pub(crate) fn encode(&self, world: &World, out: &mut Vec<u8>) {
        const BYTES_READER: usize = 17;
        const BYTES_MESSAGE: usize = 3;
        out.clear();
        let faults = &world.faults;
        out.extend([
            faults.crashes,
            faults.breaks,
            faults.restarts,
            faults.timeouts,
            faults.lost,
            faults.fences,
            faults.cuts,
            faults.carries,
            world.cut,
        ]);
        let messages_at = out.len();
        let readers_at = messages_at + self.message_to.len() * BYTES_MESSAGE;
        out.resize(readers_at + self.reader_to.len() * BYTES_READER, 0);
        for (from, to) in self.message_to.iter().enumerate() {
            let place = match world.place[from] {
                Place::Queue => 100,
                Place::Gone => 101,
                Place::Unit(reader) => self.reader(reader),
            };
            let bytes = [place, world.backouts[from], world.copies[from]];
            let at = messages_at + to * BYTES_MESSAGE;
            out[at..at + BYTES_MESSAGE].copy_from_slice(&bytes);
        }
        for (from, to) in self.reader_to.iter().enumerate() {
            let reader = &world.reader[from];
            let txn = match world.txn[from] {
                Txn::Empty => [0, 0, 0],
                Txn::Ongoing { claim, data } => [1, claim, self.set(data)],
                Txn::Commits { claim } => [2, claim, 0],
                Txn::Aborts => [3, 0, 0],
            };
            let produce = world.produce[from].map_or([0, 0], |data| [1, self.set(data)]);
            let bytes: [u8; BYTES_READER] = [
                world.connection[from] as u8,
                txn[0],
                txn[1],
                txn[2],
                produce[0],
                produce[1],
                u8::from(world.end[from]),
                reader.pc as u8,
                u8::from(reader.is_current),
                self.set(reader.hand),
                self.set(reader.doubtful),
                self.set(reader.deliver),
                self.set(reader.discard),
                reader.claim,
                reader.position,
                reader.first,
                reader.since,
            ];
            let at = readers_at + to * BYTES_READER;
            out[at..at + BYTES_READER].copy_from_slice(&bytes);
        }
        for entry in &world.log {
            out.extend([
                entry.kind as u8 | self.reader(entry.who) << 4,
                self.set(entry.set),
                self.set(entry.discarded),
                entry.of,
            ]);
        }
    }
}

fn permutations(count: usize) -> Vec<Vec<usize>> {
    let Some(last) = count.checked_sub(1) else {
        return vec![Vec::new()];
    };
    let mut all = Vec::new();
    for shorter in permutations(last) {
        for at in 0..=shorter.len() {
            let mut longer = shorter.clone();
            longer.insert(at, last);
            all.push(longer);
        }
    }
    all
}
