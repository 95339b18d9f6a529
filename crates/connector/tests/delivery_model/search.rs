//! Explores: all states, breadth first, or single runs drawn at random.

use std::collections::{HashMap, VecDeque};
use std::fmt::Write as _;
use std::hash::{BuildHasherDefault, Hasher};

use crate::steps::{Label, steps};
use crate::symmetry::Symmetry;
use crate::world::{Plan, Violation, World};

/// A run that takes more steps than this hangs.
const STEPS_MAX: u32 = 6_000;

/// What was found.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) states: usize,
    pub(crate) transitions: u64,
    pub(crate) depth: u16,
    /// Every state was reached that can be.
    pub(crate) is_complete: bool,
    pub(crate) duplicates: u64,
    pub(crate) losses: u64,
    /// States in which nothing can happen and not all is delivered.
    pub(crate) stuck: u64,
    /// States that needed a longer id log to go on.
    pub(crate) full: u64,
    /// States from which "all delivered, once" cannot be reached; only when asked for.
    pub(crate) hopeless: u64,
    /// The shortest way to the first bad state, if traced.
    pub(crate) way: Option<String>,
}

impl Found {
    pub(crate) fn is_good(&self) -> bool {
        (self.duplicates, self.losses, self.stuck, self.hopeless) == (0, 0, 0, 0)
    }
}

/// What to look for, and how far.
#[derive(Clone, Copy)]
pub(crate) struct Search {
    /// At most so many states.
    pub(crate) states_max: usize,
    /// The first bad state is enough.
    pub(crate) stops_at_first: bool,
    /// Also look from where the end cannot be reached.
    pub(crate) is_live: bool,
    /// Remember how each state was reached.
    pub(crate) is_traced: bool,
}

/// The keys are hashes already.
#[derive(Default, Clone)]
struct Same(u64);

impl Hasher for Same {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write_u64(&mut self, number: u64) {
        self.0 ^= number;
    }

    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.0 ^= u64::from_le_bytes(word);
        }
    }
}

/// 128 bits of a state; two that differ do not share them by chance.
type Print = (u64, u64);

fn print(bytes: &[u8]) -> Print {
    let mut a = 0x9E37_79B9_7F4A_7C15_u64;
    let mut b = 0xC2B2_AE3D_27D4_EB4F_u64;
    for chunk in bytes.chunks(8) {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        let word = u64::from_le_bytes(word);
        a = (a ^ word).wrapping_mul(0xff51_afd7_ed55_8ccd);
        a ^= a >> 32;
        b = (b.rotate_left(29) ^ word).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
        b ^= b >> 29;
    }
    (a, b)
}

/// Gives states that differ only in names one print.
struct Printer {
    symmetries: Vec<Symmetry>,
    buffer: Vec<u8>,
}

impl Printer {
    fn print(&mut self, world: &World) -> Print {
        let mut least = (u64::MAX, u64::MAX);
        for symmetry in &self.symmetries {
            symmetry.encode(world, &mut self.buffer);
            least = least.min(print(&self.buffer));
        }
        least
    }
}

/// Every state that can be reached, each once, nearest first.
pub(crate) fn exhaust(plan: &Plan, search: Search) -> Found {
    let mut printer = Printer {
        symmetries: Symmetry::all(plan),
        buffer: Vec::new(),
    };
    let mut seen: HashMap<Print, u32, BuildHasherDefault<Same>> = HashMap::default();
    let mut edges = Vec::new();
    let mut ends = Vec::new();
    let mut parents: Vec<(u32, Option<Label>)> = vec![(0, None)];
    let mut first_bad = None;
    let mut found = Found {
        is_complete: true,
        ..Found::default()
    };
    let start = World::new(plan);
    seen.insert(printer.print(&start), 0);
    let mut queue = VecDeque::from([(start, 0_u32, 0_u16)]);
    let mut next = Vec::new();
    while let Some((world, id, depth)) = queue.pop_front() {
        found.depth = found.depth.max(depth);
        if let Some(violation) = world.violation(plan) {
            match violation {
                Violation::Duplicate => found.duplicates += 1,
                Violation::Loss => found.losses += 1,
            }
            first_bad.get_or_insert((id, format!("{violation:?}")));
            if search.stops_at_first {
                found.is_complete = false;
                break;
            }
            // What lies behind a violation is of no interest.
            continue;
        }
        let is_finished = world.is_finished(plan);
        if is_finished {
            ends.push(id);
        }
        let is_full = steps(plan, &world, &mut next);
        found.full += u64::from(is_full);
        if next.is_empty() && !is_full && !is_finished {
            found.stuck += 1;
            first_bad.get_or_insert((id, "stuck".to_owned()));
        }
        for (label, world) in next.drain(..) {
            found.transitions += 1;
            let print = printer.print(&world);
            let new = u32::try_from(seen.len()).expect("fewer states than that");
            let reached = *seen.entry(print).or_insert(new);
            if search.is_live {
                edges.push((id, reached));
            }
            if reached == new {
                if search.is_traced {
                    parents.push((id, Some(label)));
                }
                queue.push_back((world, new, depth + 1));
            }
        }
        if seen.len() >= search.states_max {
            found.is_complete = false;
            break;
        }
    }
    found.states = seen.len();
    if search.is_live {
        let can_end = who_reaches(&ends, &edges, found.states);
        found.hopeless = can_end.iter().filter(|can| !**can).count() as u64;
        if let Some(id) = can_end.iter().position(|can| !can) {
            first_bad.get_or_insert((id as u32, "hopeless".to_owned()));
        }
    }
    if let (true, Some((id, what))) = (search.is_traced, first_bad) {
        found.way = Some(way(&parents, id, &what));
    }
    found
}

/// States from which one of `ends` is reached, backwards over the edges.
fn who_reaches(ends: &[u32], edges: &[(u32, u32)], states: usize) -> Vec<bool> {
    const END: u32 = u32::MAX;
    // Edges that lead to a state, as a list through all of them.
    let mut newest = vec![END; states];
    let mut older = vec![END; edges.len()];
    for (edge, (_, to)) in edges.iter().enumerate() {
        older[edge] = newest[*to as usize];
        newest[*to as usize] = edge as u32;
    }
    let mut reaches = vec![false; states];
    let mut open = ends.to_vec();
    for end in ends {
        reaches[*end as usize] = true;
    }
    while let Some(state) = open.pop() {
        let mut edge = newest[state as usize];
        while edge != END {
            let from = edges[edge as usize].0;
            if !reaches[from as usize] {
                reaches[from as usize] = true;
                open.push(from);
            }
            edge = older[edge as usize];
        }
    }
    reaches
}

fn way(parents: &[(u32, Option<Label>)], mut id: u32, what: &str) -> String {
    let mut labels = Vec::new();
    while let (parent, Some(label)) = parents[id as usize] {
        labels.push(label);
        id = parent;
    }
    let mut text = format!("{what} after {} steps\n", labels.len());
    for label in labels.iter().rev() {
        let Label {
            name,
            reader,
            argument,
            ..
        } = label;
        let _ = writeln!(text, "  reader {reader} {name} {argument}");
    }
    text
}

/// xorshift64*: small, and the same everywhere.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % bound
    }
}

/// How one run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    Good,
    Bad(Violation),
    /// Not all was delivered.
    Unfinished,
}

/// One run, drawn from `seed`; how it ended and after how many steps.
pub(crate) fn run(plan: &Plan, seed: u64) -> (End, u32) {
    // Neighbouring seeds must not give runs that look alike.
    let mut dice = Dice(seed.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
    for _ in 0..8 {
        dice.below(2);
    }
    let mut world = World::new(plan);
    let mut next = Vec::new();
    // One reader is slow for a while, so that it acts very late: a zombie.
    let mut slow = dice.below(plan.readers + 1);
    let mut count = 0;
    loop {
        let is_full = steps(plan, &world, &mut next);
        if next.is_empty() || count > STEPS_MAX || is_full {
            break;
        }
        count += 1;
        if count % 40 == 0 {
            slow = dice.below(plan.readers + 1);
        }
        let mut drawn = dice.below(next.len());
        for _ in 0..4 {
            let label = next[drawn].0;
            let keeps = match label {
                Label { is_fault: true, .. } => dice.below(8) == 0,
                Label { reader, .. } if usize::from(reader) == slow => dice.below(6) == 0,
                _ => true,
            };
            if keeps {
                break;
            }
            drawn = dice.below(next.len());
        }
        world = next.swap_remove(drawn).1;
        if let Some(violation) = world.violation(plan) {
            return (End::Bad(violation), count);
        }
        if world.is_finished(plan) && world.is_quiet(plan) {
            break;
        }
    }
    match world.is_finished(plan) {
        true => (End::Good, count),
        false => (End::Unfinished, count),
    }
}
