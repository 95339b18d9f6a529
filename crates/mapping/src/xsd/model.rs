//! Content models: which elements may follow which, as an automaton of one state for each element that
//! the model mentions (Glushkov's construction).
//!
//! XML Schema demands that a model is deterministic ("unique particle attribution"), so that the next
//! element alone decides; a model that is not is refused.

/// Index of a global or local element declaration.
pub(crate) type DeclarationId = usize;

/// Most states of one model: a repetition counts as often as it may be.
const STATES_MAX: usize = 2_000;

/// A part of a model, while it is being read.
#[derive(Debug, Clone)]
pub(crate) struct Particle {
    pub(crate) term: Term,
    pub(crate) min: usize,
    /// `None`: any number.
    pub(crate) max: Option<usize>,
}

#[derive(Debug, Clone)]
pub(crate) enum Term {
    Element(DeclarationId),
    Any(Any),
    Sequence(Vec<Particle>),
    Choice(Vec<Particle>),
}

/// A wildcard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Any {
    /// Elements of the schema's own namespace and of none do not fit.
    pub(crate) is_other: bool,
    /// Elements that a schema declares are validated, others are not.
    pub(crate) is_lax: bool,
}

/// What a state stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Label {
    Element(DeclarationId),
    Any(Any),
}

/// A finished model. State 0 is the beginning.
#[derive(Debug, Clone, Default)]
pub(crate) struct Model {
    /// What state `n + 1` stands for.
    labels: Vec<Label>,
    follow: Vec<Vec<u16>>,
    ends: Vec<bool>,
}

impl Model {
    /// Builds the automaton; the error says why it cannot be.
    ///
    /// Each mention of an element has a declaration of its own; `name` tells what it is called.
    pub(crate) fn new<'n>(
        particle: &Particle,
        name: &dyn Fn(DeclarationId) -> &'n str,
    ) -> Result<Self, String> {
        let mut model = Self {
            labels: Vec::new(),
            follow: vec![Vec::new()],
            ends: Vec::new(),
        };
        let part = model.add(particle)?;
        model.follow[0] = part.first;
        model.ends = vec![false; model.follow.len()];
        model.ends[0] = part.is_optional;
        for state in part.last {
            model.ends[usize::from(state)] = true;
        }
        for state in 0..model.follow.len() {
            model.is_deterministic(state, name)?;
        }
        Ok(model)
    }

    /// The states that may follow, with what they stand for.
    pub(crate) fn next(&self, state: u16) -> impl Iterator<Item = (u16, Label)> {
        let follow = self.follow.get(usize::from(state)).into_iter().flatten();
        follow.filter_map(|next| {
            let label = self.labels.get(usize::from(*next).checked_sub(1)?)?;
            Some((*next, *label))
        })
    }

    pub(crate) fn may_end(&self, state: u16) -> bool {
        self.ends.get(usize::from(state)) == Some(&true)
    }

    fn is_deterministic<'n>(
        &self,
        state: usize,
        name: &dyn Fn(DeclarationId) -> &'n str,
    ) -> Result<(), String> {
        let mut met: Vec<DeclarationId> = Vec::new();
        for (_, label) in self.next(state as u16) {
            let Label::Element(id) = label else {
                continue;
            };
            // The same mention again is a repetition: the first state that fits is right.
            if met
                .iter()
                .any(|other| *other != id && name(*other) == name(id))
            {
                return Err(format!(
                    "the element {} may follow in two ways, which is not read",
                    name(id)
                ));
            }
            met.push(id);
        }
        Ok(())
    }

    fn link(&mut self, from: &[u16], to: &[u16]) {
        for state in from {
            let follow = &mut self.follow[usize::from(*state)];
            follow.extend(to);
        }
    }

    /// Adds a particle as often as it may be. What may be there once more follows only what was there
    /// before, so that numbers cost no choice.
    fn add(&mut self, particle: &Particle) -> Result<Part, String> {
        let mut whole = Part::empty();
        let copies = particle.max.unwrap_or(particle.min.max(1));
        let mut before = Vec::new();
        for index in 0..copies {
            let mut part = self.term(&particle.term)?;
            if particle.max.is_none() && index + 1 == copies {
                self.link(&part.last, &part.first);
            }
            let last = part.last.clone();
            if index < particle.min {
                whole = self.behind(whole, part);
            } else if index == 0 {
                part.is_optional = true;
                whole = part;
            } else {
                self.link(&before, &part.first);
                whole.last.extend(part.last);
            }
            before = last;
        }
        Ok(whole)
    }

    fn term(&mut self, term: &Term) -> Result<Part, String> {
        match term {
            Term::Element(id) => self.state(Label::Element(*id)),
            Term::Any(any) => self.state(Label::Any(*any)),
            Term::Sequence(particles) => {
                let mut whole = Part::empty();
                for particle in particles {
                    let part = self.add(particle)?;
                    whole = self.behind(whole, part);
                }
                Ok(whole)
            }
            Term::Choice(particles) => {
                let mut whole = Part {
                    first: Vec::new(),
                    last: Vec::new(),
                    is_optional: particles.is_empty(),
                };
                for particle in particles {
                    let part = self.add(particle)?;
                    whole.first.extend(part.first);
                    whole.last.extend(part.last);
                    whole.is_optional |= part.is_optional;
                }
                Ok(whole)
            }
        }
    }

    fn state(&mut self, label: Label) -> Result<Part, String> {
        if self.labels.len() >= STATES_MAX {
            return Err(format!(
                "its content has more than {STATES_MAX} elements, repetitions counted; write maxOccurs=\"unbounded\""
            ));
        }
        self.labels.push(label);
        self.follow.push(Vec::new());
        let state = self.labels.len() as u16;
        Ok(Part {
            first: vec![state],
            last: vec![state],
            is_optional: false,
        })
    }

    /// Two parts one after the other.
    fn behind(&mut self, before: Part, part: Part) -> Part {
        self.link(&before.last, &part.first);
        let mut first = before.first;
        if before.is_optional {
            first.extend(&part.first);
        }
        let mut last = part.last;
        if part.is_optional {
            last.extend(&before.last);
        }
        Part {
            first,
            last,
            is_optional: before.is_optional && part.is_optional,
        }
    }
}

/// What a part of a model begins and ends with.
struct Part {
    first: Vec<u16>,
    last: Vec<u16>,
    is_optional: bool,
}

impl Part {
    fn empty() -> Self {
        Self {
            first: Vec::new(),
            last: Vec::new(),
            is_optional: true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(id: usize, min: usize, max: Option<usize>) -> Particle {
        let term = Term::Element(id);
        Particle { term, min, max }
    }

    fn name(id: DeclarationId) -> &'static str {
        ["a", "b", "c", "d"][id]
    }

    #[track_caller]
    fn check(model: &Model, elements: &[usize], expected: bool) {
        let mut state = 0;
        for element in elements {
            let mut next = model.next(state);
            match next.find(|(_, label)| *label == Label::Element(*element)) {
                Some((found, _)) => state = found,
                None => return assert!(!expected, "{elements:?}"),
            }
        }
        assert_eq!(model.may_end(state), expected, "{elements:?}");
    }

    #[test]
    fn sequences_choices_and_numbers() {
        // (0?, (1 | 2){1,}, 3{2,3})
        let choice = Particle {
            term: Term::Choice(vec![one(1, 1, Some(1)), one(2, 1, Some(1))]),
            min: 1,
            max: None,
        };
        let all = vec![one(0, 0, Some(1)), choice, one(3, 2, Some(3))];
        let term = Term::Sequence(all);
        let particle = Particle {
            term,
            min: 1,
            max: Some(1),
        };
        let model = Model::new(&particle, &name).expect("deterministic");
        check(&model, &[1, 3, 3], true);
        check(&model, &[0, 1, 2, 1, 3, 3, 3], true);
        check(&model, &[0, 3, 3], false);
        check(&model, &[1, 3], false);
        check(&model, &[1, 3, 3, 3, 3], false);
        check(&model, &[0, 0, 1, 3, 3], false);
        check(&model, &[], false);
    }

    #[test]
    fn what_is_ambiguous_is_refused() {
        let term = Term::Choice(vec![one(0, 1, Some(1)), one(1, 1, Some(1))]);
        let particle = Particle {
            term,
            min: 1,
            max: Some(1),
        };
        assert!(Model::new(&particle, &|_| "same").is_err());
        assert!(Model::new(&particle, &name).is_ok());
        assert!(Model::new(&one(0, 0, Some(STATES_MAX + 1)), &name).is_err());
        assert!(Model::new(&one(0, 0, Some(STATES_MAX)), &name).is_ok());
    }
}
