//! What a command asks for: its parameters, checked.

use mq_wire::{Pcf, PcfValue, pcf_type};

use crate::command::Failure;
use crate::command::code::{ccf, id};

/// Attributes have identifiers from 1 to this (MQCA_LAST); MQIACF_* and MQCACF_* lie within or behind.
const ATTRIBUTE_MAX: i32 = 4_000;

/// A command.
pub(crate) struct Request<'a> {
    pcf: &'a Pcf,
    ccsid: i32,
}

impl<'a> Request<'a> {
    pub(crate) fn new(pcf: &'a Pcf, ccsid: i32) -> Self {
        Self { pcf, ccsid }
    }

    pub(crate) fn command(&self) -> i32 {
        self.pcf.header.command
    }

    /// Refuses parameters that the command does not have, and those that are there twice.
    pub(crate) fn check(&self, known: &[i32]) -> Result<(), Failure> {
        for (at, parameter) in self.pcf.parameters.iter().enumerate() {
            let id = parameter.id;
            let (unknown, twice) = match &parameter.value {
                PcfValue::Integer(_) | PcfValue::Integer64(_) => {
                    (ccf::CFIN_PARM_ID_ERROR, ccf::CFIN_DUPLICATE_PARM)
                }
                PcfValue::Text(_) => (ccf::CFST_PARM_ID_ERROR, ccf::CFST_DUPLICATE_PARM),
                PcfValue::Integers(_) => (ccf::CFIL_PARM_ID_ERROR, ccf::CFIN_DUPLICATE_PARM),
                PcfValue::Texts(_) => (ccf::CFSL_PARM_ID_ERROR, ccf::CFST_DUPLICATE_PARM),
                PcfValue::Group(_) => return Err(Failure::of(ccf::CFGR_PARM_ID_ERROR, id)),
                PcfValue::Other { kind, .. } => {
                    return Err(match *kind {
                        pcf_type::INTEGER_FILTER
                        | pcf_type::STRING_FILTER
                        | pcf_type::BYTE_STRING_FILTER => Failure::of(ccf::FILTER_ERROR, id),
                        _ => Failure::of(ccf::STRUCTURE_TYPE_ERROR, id),
                    });
                }
            };
            if !known.contains(&id) {
                return Err(Failure::of(unknown, id));
            }
            let mut before = self.pcf.parameters.iter().take(at);
            if before.any(|other| other.id == id) {
                return Err(Failure::of(twice, id));
            }
        }
        Ok(())
    }

    pub(crate) fn integer(&self, id: i32) -> Result<Option<i32>, Failure> {
        match self.pcf.get(id) {
            None => Ok(None),
            Some(PcfValue::Integer(value)) => Ok(Some(*value)),
            Some(_) => Err(Failure::of(ccf::STRUCTURE_TYPE_ERROR, id)),
        }
    }

    /// A number within bounds; `wrong` is the reason for others.
    pub(crate) fn within(
        &self,
        id: i32,
        bounds: std::ops::RangeInclusive<i32>,
        wrong: i32,
    ) -> Result<Option<i32>, Failure> {
        match self.integer(id)? {
            Some(value) if !bounds.contains(&value) => Err(Failure::of(wrong, id)),
            value => Ok(value),
        }
    }

    /// A text of at most so many bytes, without the blanks behind it.
    pub(crate) fn text(&self, id: i32, bytes_max: usize) -> Result<Option<String>, Failure> {
        match self.pcf.get(id) {
            None => Ok(None),
            Some(PcfValue::Text(text)) => {
                let text = text.text(self.ccsid);
                let text = text.ok_or(Failure::of(ccf::CCSID_ERROR, id))?;
                if text.len() > bytes_max {
                    return Err(Failure::of(ccf::CFST_STRING_LENGTH_ERR, id));
                }
                Ok(Some(text))
            }
            Some(_) => Err(Failure::of(ccf::STRUCTURE_TYPE_ERROR, id)),
        }
    }

    /// A text that must be there.
    pub(crate) fn name(&self, id: i32, bytes_max: usize) -> Result<String, Failure> {
        let name = self.text(id, bytes_max)?;
        let name = name.ok_or(Failure::of(ccf::PARM_COUNT_TOO_SMALL, id))?;
        if name.is_empty() {
            return Err(Failure::of(ccf::OBJECT_NAME_ERROR, id));
        }
        Ok(name)
    }

    /// Which attributes are asked for.
    pub(crate) fn wanted(&self, id: i32) -> Result<Wanted, Failure> {
        let asked = match self.pcf.get(id) {
            None => return Ok(Wanted::All),
            Some(PcfValue::Integers(asked)) => asked.clone(),
            Some(PcfValue::Integer(asked)) => vec![*asked],
            Some(_) => return Err(Failure::of(ccf::STRUCTURE_TYPE_ERROR, id)),
        };
        if asked.contains(&id::ALL) {
            return Ok(Wanted::All);
        }
        if asked
            .iter()
            .any(|asked| !(1..=ATTRIBUTE_MAX).contains(asked))
        {
            return Err(Failure::of(ccf::ATTR_VALUE_ERROR, id));
        }
        Ok(Wanted::These(asked))
    }
}

/// Attributes that a command asks for. Those that the object does not have are left out, so that a tool
/// for a newer level gets what there is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Wanted {
    All,
    These(Vec<i32>),
}

impl Wanted {
    pub(crate) fn has(&self, id: i32) -> bool {
        match self {
            Self::All => true,
            Self::These(asked) => asked.contains(&id),
        }
    }
}

/// A name, or the beginning of names and `*`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Pattern {
    Exact(String),
    Generic(String),
}

impl Pattern {
    pub(crate) fn new(name: &str) -> Self {
        match name.strip_suffix('*') {
            Some(begin) => Self::Generic(begin.to_owned()),
            None => Self::Exact(name.to_owned()),
        }
    }

    pub(crate) fn fits(&self, name: &str) -> bool {
        match self {
            Self::Exact(exact) => exact == name,
            Self::Generic(begin) => name.starts_with(begin),
        }
    }
}
