//! Runs scripts with QuickJS: one runtime a thread, made when it is first needed, and a context a script.
//!
//! # Invariants
//!
//! - Contexts are made without a limit on memory, as QuickJS does not survive running out of it there; whatever is
//!   of the script, compiling it included, runs with all limits.
//! - After a call that ended at a limit the thread's contexts are dropped; what the call held is freed.
//! - A runtime that once ran out of memory is never freed: QuickJS may have lost track of an object, which it would
//!   answer by ending the process.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};

use rquickjs::context::EvalOptions;
use rquickjs::object::Filter;
use rquickjs::{Context, Ctx, Error, Function, Module, Object, Persistent, Runtime, Value};

use super::{Call, Given, Mistake, Program, clipped};
use crate::refusal::{Problem, rule};

/// Most scripts that a thread keeps compiled; the one not used for longest goes first.
const CONTEXTS_MAX: usize = 8;
/// Most jobs (steps of promises) that a call may leave behind to be run; their results are never used.
const JOBS_MAX: usize = 100;
/// Time for compiling a script, in milliseconds.
const COMPILE_MS_MAX: u64 = 1_000;
/// In front of a script's text, on a line of its own.
const HEAD: &str = "(function(){\"use strict\";\n";
/// Behind it.
const TAIL: &str = "\n;return typeof transaction===\"function\"?transaction:undefined;\n})";
const PRELUDE: &str = include_str!("prelude.js");

thread_local! {
    static ENGINE: RefCell<Option<Engine>> = const { RefCell::new(None) };
}

/// Whether a script can be used: its text is right and declares `transaction`.
pub(crate) fn check(program: &Program) -> Result<(), Mistake> {
    // In a runtime of its own: what a module leaves behind goes with it.
    let checked = Engine::new().and_then(|mut engine| engine.check(program));
    checked.map_err(|failure| failure.mistake(program))
}

/// What a script makes of one transaction; `None`: it passes it over.
pub(crate) fn call(program: &Program, call: &Call<'_>) -> Result<Option<Given>, Problem> {
    ENGINE.with_borrow_mut(|slot| {
        let answer = match slot {
            Some(engine) => engine.call(program, call),
            None => Engine::new().and_then(|engine| slot.insert(engine).call(program, call)),
        };
        if answer.as_ref().is_err_and(|failure| failure.spoils_engine)
            && let Some(engine) = slot
            && !engine.recover()
        {
            *slot = None;
        }
        answer.map_err(|failure| failure.problem(program))
    })
}

/// Why a script gave nothing.
#[derive(Debug)]
struct Failure {
    rule: &'static str,
    field: Option<Box<str>>,
    message: String,
    /// Line and column in the script's text, from 1.
    place: Option<(usize, usize)>,
    /// The thread's contexts are to be dropped.
    spoils_engine: bool,
}

impl Failure {
    fn new(message: impl Into<String>) -> Self {
        Self {
            rule: rule::SCRIPT,
            field: None,
            message: message.into(),
            place: None,
            spoils_engine: false,
        }
    }

    fn of_field(field: &str, message: String) -> Self {
        Self {
            field: Some(clipped(field).into()),
            ..Self::new(message)
        }
    }

    fn at_limit(rule: &'static str, message: String) -> Self {
        Self {
            rule,
            spoils_engine: true,
            ..Self::new(message)
        }
    }

    fn problem(self, program: &Program) -> Problem {
        let detail = match self.place {
            Some((line, column)) => format!(
                "{}:{}:{column}: {}",
                program.name,
                line + program.lines_before,
                self.message
            ),
            None => self.message,
        };
        Problem {
            field: self.field,
            rule: self.rule,
            detail,
        }
    }

    fn mistake(self, program: &Program) -> Mistake {
        let (line, column) = self.place.unwrap_or((1, 1));
        Mistake {
            line: line + program.lines_before,
            column,
            message: self.message,
        }
    }
}

/// Tells the interrupt handler when to stop a call. It counts the thread's time on the processor, so that a busy
/// machine refuses no record that an idle one takes.
///
/// That time costs a file to be read, so it is looked at only when the limit has passed by the clock, and counted from
/// then: a call is stopped after one to two times its limit.
#[derive(Debug, Default)]
struct Clock {
    /// When to look again; `None`: nothing runs.
    look_at: Cell<Option<Instant>>,
    /// The thread's time on the processor when the limit had passed by the clock.
    counted_from: Cell<Option<Duration>>,
    time_ms_max: Cell<u64>,
    has_struck: Cell<bool>,
}

impl Clock {
    fn start(&self, time_ms_max: u64) {
        self.has_struck.set(false);
        self.time_ms_max.set(time_ms_max);
        self.counted_from.set(None);
        let time = Duration::from_millis(time_ms_max);
        self.look_at.set(Some(Instant::now() + time));
    }

    fn stop(&self) {
        self.look_at.set(None);
    }

    /// Whether it is time to stop.
    fn strikes(&self) -> bool {
        let now = Instant::now();
        let is_late = self.look_at.get().is_some_and(|at| now >= at) && self.is_spent(now);
        self.has_struck.set(self.has_struck.get() || is_late);
        is_late
    }

    fn is_spent(&self, now: Instant) -> bool {
        let limit = Duration::from_millis(self.time_ms_max.get());
        // Where the system does not tell, the clock on the wall decides.
        let Some(used) = cpu_time() else { return true };
        let spent = match self.counted_from.get() {
            Some(from) => used.saturating_sub(from),
            None => {
                self.counted_from.set(Some(used));
                Duration::ZERO
            }
        };
        self.look_at.set(Some(now + limit.saturating_sub(spent)));
        spent >= limit
    }
}

/// Time that this thread has been on a processor, as Linux tells it, to a few milliseconds.
fn cpu_time() -> Option<Duration> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    let nanos = text.split_ascii_whitespace().next()?.parse().ok()?;
    Some(Duration::from_nanos(nanos))
}

/// A thread's runtime with the scripts that it has compiled. Fields are dropped in this order.
struct Engine {
    /// The last one is the one used last.
    contexts: Vec<Prepared>,
    runtime: Runtime,
    clock: Rc<Clock>,
    /// It has run out of memory before.
    is_suspect: bool,
}

/// A script in its context.
struct Prepared {
    id: u64,
    /// `prelude.js`'s function that calls it.
    caller: Persistent<Function<'static>>,
    /// Runs its outermost statements and answers its `transaction`.
    script: Persistent<Function<'static>>,
    context: Context,
}

impl Drop for Engine {
    fn drop(&mut self) {
        if self.is_suspect {
            // One more owner that never goes: what is lost is bounded by the limit on memory.
            std::mem::forget(self.runtime.clone());
        }
    }
}

impl Engine {
    fn new() -> Result<Self, Failure> {
        let runtime = Runtime::new().map_err(|_| Failure::new("there is no memory for scripts"))?;
        let clock = Rc::new(Clock::default());
        let watch = Rc::clone(&clock);
        runtime.set_interrupt_handler(Some(Box::new(move || watch.strikes())));
        Ok(Self {
            contexts: Vec::new(),
            runtime,
            clock,
            is_suspect: false,
        })
    }

    /// Sets the limits of what runs next.
    fn begin(&self, program: &Program, time_ms_max: u64) {
        let limits = &program.limits;
        self.runtime.set_memory_limit(limits.memory_bytes_max);
        self.runtime.set_max_stack_size(limits.stack_bytes_max);
        self.clock.start(time_ms_max);
    }

    fn end(&self) {
        self.runtime.set_memory_limit(0);
        self.clock.stop();
    }

    /// Frees what a call at a limit has left; whether the engine is still good.
    fn recover(&mut self) -> bool {
        self.is_suspect = true;
        self.contexts.clear();
        self.runtime.run_gc();
        !self.runtime.is_job_pending()
    }

    fn check(&mut self, program: &Program) -> Result<(), Failure> {
        let prepared = self.prepare(program)?;
        self.begin(program, COMPILE_MS_MAX);
        let clock = &self.clock;
        let found = prepared.context.with(|ctx| {
            let failed = |error| failure(&ctx, error, program, clock);
            let script = prepared.script.restore(&ctx).map_err(failed)?;
            script
                .call::<_, Value<'_>>(())
                .map(|value| value.is_function())
                .map_err(failed)
        });
        self.end();
        match found {
            Ok(true) => Ok(()),
            Ok(false) => Err(Failure::new(
                "the script declares no `function transaction(record, document) { … }`",
            )),
            Err(failure) => {
                self.is_suspect |= failure.spoils_engine;
                Err(failure)
            }
        }
    }

    /// A new context with the script in it.
    fn prepare(&mut self, program: &Program) -> Result<Prepared, Failure> {
        let unable = |_| Failure::new("there is no memory for another script");
        let context = Context::full(&self.runtime).map_err(unable)?;
        let clock = &self.clock;
        let caller = context.with(|ctx| {
            let caller = ctx.eval::<Function<'_>, _>(PRELUDE);
            let caller = caller.map_err(|error| failure(&ctx, error, program, clock))?;
            Ok(Persistent::save(&ctx, caller))
        })?;
        self.begin(program, COMPILE_MS_MAX);
        let script = context.with(|ctx| {
            let script = compile(&ctx, program);
            let script = script.map_err(|error| failure(&ctx, error, program, clock))?;
            Ok(Persistent::save(&ctx, script))
        });
        self.end();
        let script = script.inspect_err(|failure: &Failure| {
            self.is_suspect |= failure.spoils_engine;
        })?;
        Ok(Prepared {
            id: program.id,
            caller,
            script,
            context,
        })
    }

    fn call(&mut self, program: &Program, call: &Call<'_>) -> Result<Option<Given>, Failure> {
        match self
            .contexts
            .iter()
            .position(|known| known.id == program.id)
        {
            Some(at) if at + 1 == self.contexts.len() => {}
            Some(at) => self.contexts[at..].rotate_left(1),
            None => {
                let prepared = self.prepare(program)?;
                if self.contexts.len() >= CONTEXTS_MAX {
                    self.contexts.remove(0);
                }
                self.contexts.push(prepared);
            }
        }
        let Some(prepared) = self.contexts.last() else {
            return Err(Failure::new("there is no script"));
        };
        self.begin(program, program.limits.time_ms_max);
        let clock = &self.clock;
        let answer = prepared.context.with(|ctx| {
            let answer = answer(&ctx, prepared, call);
            answer.unwrap_or_else(|error| Err(failure(&ctx, error, program, clock)))
        });
        let answer = if self.runtime.is_job_pending() {
            self.run_jobs();
            Err(Failure {
                spoils_engine: self.runtime.is_job_pending(),
                ..Failure::new(
                    "the script makes a promise; nothing waits for it: use ordinary functions",
                )
            })
        } else {
            answer
        };
        self.end();
        answer
    }

    /// Lets go of what promises still have to do.
    fn run_jobs(&self) {
        for _ in 0..JOBS_MAX {
            if matches!(self.runtime.execute_pending_job(), Ok(false)) {
                return;
            }
        }
    }
}

/// The script as a function that answers its `transaction`.
fn compile<'js>(ctx: &Ctx<'js>, program: &Program) -> Result<Function<'js>, Error> {
    // As a module nothing of the text can close the function that it stands in.
    Module::declare(ctx.clone(), &*program.name, &*program.text)?;
    let mut options = EvalOptions::default();
    options.filename = Some(wrapped_name(program));
    let text = format!("{HEAD}{}{TAIL}", program.text);
    ctx.eval_with_options(text, options)
}

/// Name under which the text stands one line further down.
fn wrapped_name(program: &Program) -> String {
    format!("{}#", program.name)
}

/// Calls the script and reads what it gives. The outer error is JavaScript's.
fn answer(
    ctx: &Ctx<'_>,
    prepared: &Prepared,
    call: &Call<'_>,
) -> Result<Result<Option<Given>, Failure>, Error> {
    let record = Object::new(ctx.clone())?;
    for (name, text) in &call.record {
        record.set(*name, text.as_str())?;
    }
    let document = Object::new(ctx.clone())?;
    for (name, text) in &call.document {
        document.set(*name, *text)?;
    }
    let caller = prepared.caller.clone().restore(ctx)?;
    let script = prepared.script.clone().restore(ctx)?;
    let value: Value<'_> = caller.call((script, record, document, call.suffix))?;
    if value.is_null() {
        return Ok(Ok(None));
    }
    let is_plain = !(value.is_array() || value.is_function() || value.is_promise());
    let Some(object) = value.as_object().filter(|_| is_plain) else {
        let message = format!(
            "transaction() gives {}; it gives an object of texts, or null to pass the record over",
            kind(&value)
        );
        return Ok(Err(Failure::new(message)));
    };
    let mut given = Given::default();
    for property in object.own_props::<String, Value<'_>>(Filter::new().string().enum_only()) {
        let (name, value) = property?;
        if value.is_null() || value.is_undefined() {
            continue;
        }
        let Some(text) = value.as_string() else {
            let hint = if value.is_number() || matches!(value.type_of(), rquickjs::Type::BigInt) {
                "give it as a string, such as \"12.50\": numbers of JavaScript are not exact"
            } else {
                "give it as a string"
            };
            let message = format!("the script gives {}: {hint}", kind(&value));
            return Ok(Err(Failure::of_field(&name, message)));
        };
        match text.to_string() {
            Ok(text) => given.0.push((name.into(), text.into())),
            Err(Error::Utf8(_)) => {
                let message = "the script gives half of a character (an unpaired surrogate)";
                return Ok(Err(Failure::of_field(&name, message.to_owned())));
            }
            Err(error) => return Err(error),
        }
    }
    Ok(Ok(Some(given)))
}

/// What a value is, for people.
fn kind(value: &Value<'_>) -> &'static str {
    use rquickjs::Type;
    if value.is_promise() {
        return "a promise";
    }
    match value.type_of() {
        Type::Undefined | Type::Uninitialized => "nothing (undefined)",
        Type::Null => "null",
        Type::Bool => "true or false",
        Type::Int | Type::Float | Type::BigInt => "a number",
        Type::String => "a text",
        Type::Symbol => "a symbol",
        Type::Array => "an array",
        Type::Constructor | Type::Function => "a function",
        _ => "an object",
    }
}

/// What JavaScript threw.
fn failure(ctx: &Ctx<'_>, error: Error, program: &Program, clock: &Clock) -> Failure {
    let limits = &program.limits;
    let memory = || {
        let message = format!(
            "the script needs more than {} bytes of memory, or throws null",
            limits.memory_bytes_max
        );
        Failure::at_limit(rule::SCRIPT_MEMORY, message)
    };
    let thrown = match error {
        Error::Exception => ctx.catch(),
        Error::Allocation => return memory(),
        Error::Utf8(_) => {
            return Failure::new(
                "the script throws or names half of a character (an unpaired surrogate)",
            );
        }
        other => return Failure::new(clipped(&other.to_string())),
    };
    if clock.has_struck.get() {
        let message = format!(
            "the script runs for more than {} ms",
            clock.time_ms_max.get()
        );
        return Failure::at_limit(rule::SCRIPT_TIME, message);
    }
    let Some(exception) = thrown.as_exception() else {
        return match thrown.as_string().map(|text| text.to_string()) {
            Some(text) => Failure::new(clipped(&text.unwrap_or_default())),
            // QuickJS throws this where there is no memory left for an error.
            None if thrown.is_null()
                || matches!(thrown.type_of(), rquickjs::Type::Uninitialized) =>
            {
                memory()
            }
            None => Failure::new(format!("the script throws {}", kind(&thrown))),
        };
    };
    let name: String = exception.get("name").unwrap_or_default();
    let message = exception.message().unwrap_or_default();
    match (name.as_str(), message.as_str()) {
        ("InternalError", "out of memory") => return memory(),
        (_, "Maximum call stack size exceeded") => {
            let message = format!(
                "the script's calls nest deeper than {} bytes of stack",
                limits.stack_bytes_max
            );
            return Failure::at_limit(rule::SCRIPT_MEMORY, message);
        }
        _ => {}
    }
    let stack = exception.stack().unwrap_or_default();
    Failure {
        place: place(&stack, program),
        ..Failure::new(clipped(&format!("{name}: {message}")))
    }
}

/// The uppermost place of a stack trace that is in the script.
fn place(stack: &str, program: &Program) -> Option<(usize, usize)> {
    let wrapped = wrapped_name(program);
    stack.lines().find_map(|line| {
        let (name, lines) = match line.rfind(&wrapped) {
            Some(at) => (&line[at + wrapped.len()..], 1),
            None => (&line[line.rfind(&*program.name)? + program.name.len()..], 0),
        };
        let mut numbers = name.strip_prefix(':')?.trim_end_matches(')').split(':');
        let line: usize = numbers.next()?.parse().ok()?;
        let column = numbers.next()?.parse().ok()?;
        Some((line.checked_sub(lines)?.max(1), column))
    })
}
