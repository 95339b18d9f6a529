//! Members that join, leave, crash, come back and lose answers, by a seed. After every step: nobody has what another
//! has, and epochs only go up. When the trouble is over: every partition is read by one member, and evenly.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use super::tests::{LEAVES, SESSION, Topics, beat, groups};
use super::*;
use crate::group::Groups;

const SEEDS: std::ops::Range<u64> = 0..400;
const STEPS: usize = 300;
const MEMBERS_MAX: usize = 6;
const TOPICS: [&str; 3] = ["t", "u", "v"];

/// SplitMix64: the same seed, the same numbers.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut value = self.0;
        value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((value ^ (value >> 31)) % end as u64) as usize
    }

    fn one_in(&mut self, chances: usize) -> bool {
        self.below(chances) == 0
    }
}

/// A client as it sees itself.
#[derive(Debug, Clone)]
struct Client {
    epoch: i32,
    instance: Option<String>,
    topics: Vec<String>,
    regex: Option<String>,
    assignor: Option<&'static str>,
    /// What it reads from.
    owned: Assignment,
    /// What it has said that it reads from, and still does. What it was told to read it may begin with while the news
    /// that it is somebody else's is lost on the way; then it is fenced by its next heartbeat, and commits nothing.
    confirmed: Assignment,
    /// What it was told to read from.
    told: Assignment,
    /// It has to tell what it owns, or everything.
    news: bool,
    full: bool,
}

impl Client {
    fn forget(&mut self) {
        self.owned.clear();
        self.confirmed.clear();
        self.told.clear();
    }
}

struct World {
    random: Random,
    groups: Groups,
    topics: Topics,
    clients: BTreeMap<String, Client>,
    now: Instant,
    /// Same subscriptions and the uniform assignor for all.
    alike: bool,
    /// Largest epochs seen.
    epoch: i32,
    epochs: BTreeMap<String, i32>,
    born: usize,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut random = Random(seed);
        let mut topics = Topics::default();
        for name in TOPICS {
            topics.set(name, 1 + random.below(5) as i32);
        }
        let mut groups = groups(MEMBERS_MAX);
        groups.start_above(random.below(3) as i32 * 1_000);
        Self {
            alike: random.one_in(2),
            random,
            groups,
            topics,
            clients: BTreeMap::new(),
            now: Instant::now(),
            epoch: 0,
            epochs: BTreeMap::new(),
            born: 0,
        }
    }

    fn subscription(&mut self) -> Vec<String> {
        let random = &mut self.random;
        let chosen = TOPICS.iter().filter(|_| self.alike || !random.one_in(3));
        chosen.map(|name| (*name).to_owned()).collect()
    }

    fn join(&mut self) {
        self.born += 1;
        let topics = self.subscription();
        let regex = !self.alike && self.random.one_in(4);
        let assignor = match self.random.below(3) {
            0 if !self.alike => Some("range"),
            1 => Some("uniform"),
            _ => None,
        };
        let instance = self.random.one_in(3).then(|| format!("i{}", self.born));
        let client = Client {
            epoch: JOINS,
            instance,
            topics,
            regex: regex.then(|| "t|v".to_owned()),
            assignor,
            owned: Assignment::new(),
            confirmed: Assignment::new(),
            told: Assignment::new(),
            news: false,
            full: true,
        };
        self.clients.insert(format!("m{}", self.born), client);
    }

    /// A heartbeat, perhaps twice, whose answer may be lost.
    fn beat(&mut self, id: &str, reliable: bool) {
        let Some(client) = self.clients.get_mut(id) else {
            return;
        };
        let mut beat = beat(id, client.epoch);
        let full = client.full || client.epoch == JOINS;
        beat.instance_id = client.instance.clone();
        if full {
            beat.rebalance_timeout_ms = 700;
            beat.topics = Some(client.topics.clone());
            beat.regex = Some(client.regex.clone().unwrap_or_default());
            beat.assignor = client.assignor.map(str::to_owned);
        }
        if full || client.news {
            beat.owned = Some(client.owned.clone());
        }
        let twice = !reliable && self.random.one_in(8);
        let lost = !reliable && self.random.one_in(6);
        let mut answer = self.say(&beat);
        if twice {
            self.check();
            answer = self.say(&beat);
        }
        let Some(client) = self.clients.get_mut(id) else {
            return;
        };
        if let (Ok(_), Some(owned)) = (&answer, beat.owned.clone()) {
            client.confirmed = owned;
        }
        if lost {
            // As after a time-out: it says everything again.
            client.full = true;
            return;
        }
        match answer {
            Ok(beaten) => {
                client.epoch = beaten.epoch;
                // Of two only the later answer was heard.
                (client.full, client.news) = (twice, false);
                if let Some(told) = beaten.assignment {
                    client.told = told;
                }
            }
            Err(ResponseError::UnknownMemberId | ResponseError::FencedMemberEpoch) => {
                client.epoch = JOINS;
                client.forget();
            }
            Err(ResponseError::UnreleasedInstanceId | ResponseError::GroupMaxSizeReached) => {}
            Err(error) => panic!("{id} with {beat:?}: {error:?}"),
        }
    }

    fn say(&mut self, beat: &Beat) -> Result<Beaten, ResponseError> {
        let answer = self
            .groups
            .consumer_heartbeat(beat.clone(), true, &self.topics, self.now);
        if let Ok(beaten) = &answer
            && beaten.epoch > 0
        {
            let last = self.epochs.entry(beaten.member_id.clone()).or_default();
            assert!(beaten.epoch >= *last, "{beaten:?} after {last}");
            *last = beaten.epoch;
        }
        answer.map_err(|refusal| refusal.error)
    }

    /// The client does what it was told: gives up first, and takes in a later step.
    fn obey(&mut self, id: &str) {
        let Some(client) = self.clients.get_mut(id) else {
            return;
        };
        let before = client.owned.len();
        client.owned.retain(|id| client.told.contains(id));
        client.confirmed.retain(|id| client.owned.contains(id));
        if client.owned.len() == before {
            client.owned.clone_from(&client.told);
        }
        client.news = true;
    }

    fn leave(&mut self, id: &str) {
        let Some(mut client) = self.clients.remove(id) else {
            return;
        };
        let for_now = client.instance.is_some() && self.random.one_in(2);
        let mut beat = beat(id, if for_now { LEAVES_FOR_NOW } else { LEAVES });
        beat.instance_id.clone_from(&client.instance);
        // Its answer does not matter: whoever leaves is gone.
        let _answer = self.say(&beat);
        if for_now && self.random.one_in(2) {
            self.born += 1;
            client.forget();
            (client.epoch, client.full) = (JOINS, true);
            self.clients.insert(format!("m{}", self.born), client);
        }
    }

    fn change_topics(&mut self) {
        let name = TOPICS[self.random.below(TOPICS.len())];
        let partitions = self.topics.all.get(name).map_or(0, |topic| topic.1);
        if self.random.one_in(4) {
            self.topics.set(name, 0);
        } else {
            self.topics.set(name, partitions + 1);
        }
    }

    fn step(&mut self) {
        let ids: Vec<String> = self.clients.keys().cloned().collect();
        let chosen = (!ids.is_empty()).then(|| ids[self.random.below(ids.len())].clone());
        match (self.random.below(20), chosen) {
            (0 | 1, _) if self.clients.len() < MEMBERS_MAX + 1 => self.join(),
            (2, Some(id)) => self.leave(&id),
            // A crash: it is never heard of again.
            (3, Some(id)) if self.random.one_in(2) => {
                self.clients.remove(&id);
            }
            (4, _) => self.change_topics(),
            (5, Some(id)) => {
                let topics = self.subscription();
                if let Some(client) = self.clients.get_mut(&id) {
                    client.topics = topics;
                    client.full = true;
                }
            }
            (6 | 7, _) => {
                self.now += Duration::from_millis(self.random.below(300) as u64);
                self.groups.tick(self.now);
            }
            (8..=12, Some(id)) => self.obey(&id),
            (_, Some(id)) => self.beat(&id, false),
            (_, None) => self.join(),
        }
        self.check();
    }

    fn check(&mut self) {
        let Some(group) = self.groups.describe_consumer("g") else {
            return;
        };
        assert!(group.epoch >= self.epoch && group.epoch >= group.target_epoch);
        self.epoch = group.epoch;
        let (mut held, mut read) = (BTreeSet::new(), BTreeSet::new());
        for one in &group.members {
            for id in one.held() {
                assert!(held.insert(id), "{id:?} is held twice: {group:?}");
            }
            // Who is still a member, by its own word of this life of it.
            let client = self.clients.get(&one.id);
            for id in client.into_iter().flat_map(|client| &client.confirmed) {
                assert!(one.member.holds(*id), "{} reads {id:?}: {group:?}", one.id);
                assert!(read.insert(*id), "{id:?} is read twice: {group:?}");
            }
        }
    }

    /// No more trouble: heartbeats come through, and clients do what they are told.
    fn settle(&mut self) {
        for _ in 0..40 {
            let ids: Vec<String> = self.clients.keys().cloned().collect();
            for id in ids {
                self.obey(&id);
                self.beat(&id, true);
                self.check();
            }
            self.now += SESSION / 10;
            self.groups.tick(self.now);
        }
        if self.clients.is_empty() {
            return;
        }
        let group = self.groups.describe_consumer("g").expect("the group");
        assert_eq!(group.state, "Stable", "{group:?}");
        let mut wanted = Assignment::new();
        let mut loads = Vec::new();
        let mut read = Assignment::new();
        for one in &group.members {
            let client = &self.clients[&one.id];
            assert_eq!((client.epoch, &client.owned), (group.epoch, &one.target));
            loads.push(client.owned.len());
            read.extend(&client.owned);
            for (name, (id, partitions)) in &self.topics.all {
                let matched = client.regex.is_some() && ["t", "v"].contains(&name.as_str());
                if client.topics.contains(name) || matched {
                    wanted.extend((0..*partitions).map(|partition| PartitionId {
                        topic: *id,
                        partition,
                    }));
                }
            }
        }
        assert_eq!(read, wanted, "all is read, once");
        assert_eq!(loads.iter().sum::<usize>(), wanted.len());
        if self.alike {
            let (least, most) = (loads.iter().min(), loads.iter().max());
            assert!(
                most.zip(least)
                    .is_some_and(|(most, least)| most - least <= 1),
                "{loads:?}"
            );
        }
    }
}

#[test]
fn whatever_happens_nobody_reads_what_another_reads_and_in_the_end_all_is_read() {
    // One seed alone: SEED=7 cargo test -p kafka-broker simulation
    let seed = std::env::var("SEED").ok();
    let seed = seed.and_then(|seed| seed.parse::<u64>().ok());
    for seed in seed.map_or(SEEDS, |seed| seed..seed + 1) {
        eprintln!("seed {seed}");
        let mut world = World::new(seed);
        for _ in 0..STEPS {
            world.step();
        }
        // Those who had crashed are given up by now, and those who were too many may come in.
        while world.clients.len() > MEMBERS_MAX {
            let id = world.clients.keys().next().expect("a client").clone();
            world.leave(&id);
        }
        world.alike &= world
            .clients
            .values()
            .all(|client| client.topics.len() == TOPICS.len());
        world.settle();
    }
}
