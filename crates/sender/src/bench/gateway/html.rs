//! The report as one HTML page: no script, no font, nothing loaded; light and dark as the reader's system is.
//!
//! # Invariants
//!
//! - **Everything from outside is escaped**: names, texts of errors, the command, the processor's name.
//! - It is well-formed XML behind its first line, so that anything can read it.

use std::fmt::Write as _;
use std::time::Duration;

use super::number::{bytes, measured, time, whole};
use super::plots;
use super::report::{GatewayReport, Soak, Step};
use super::search::Verdict;

const STYLE: &str = include_str!("report.css");

/// Text as it may stand in elements and attributes. Control characters, which XML forbids, become U+FFFD.
pub(crate) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\n' | '\t' => out.push(c),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

/// The whole page.
pub(crate) fn page(report: &GatewayReport) -> String {
    let mut out = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n\
         <meta name=\"color-scheme\" content=\"light dark\"/>\n\
         <title>Gateway bench, {}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n",
        escaped(&report.started_at)
    );
    head(report, &mut out);
    setting(report, &mut out);
    ramp(report, &mut out);
    if let Some(soak) = &report.soak {
        soak_section(soak, &mut out);
    }
    kinds(report, &mut out);
    errors(report, &mut out);
    sums(report, &mut out);
    out.push_str("<h2>What the numbers do not say</h2>\n<ul>\n");
    for note in &report.notes {
        let _ = writeln!(out, "<li>{}</li>", escaped(note));
    }
    out.push_str("</ul>\n</main>\n</body>\n</html>\n");
    out
}

fn head(report: &GatewayReport, out: &mut String) {
    let (class, text) = match report.passed {
        true => ("good", "passed"),
        false => ("bad", "failed"),
    };
    // Writing to a string cannot fail, here and below.
    let _ = writeln!(
        out,
        "<h1>Gateway bench <span class=\"badge {class}\">{text}</span></h1>\n<div class=\"tiles\">"
    );
    let mut tile = |value: &str, name: &str| {
        let _ = writeln!(
            out,
            "<div class=\"tile\"><b>{}</b><span>{}</span></div>",
            escaped(value),
            escaped(name)
        );
    };
    let at_knee = report
        .knee
        .as_ref()
        .and_then(|knee| report.steps.get(knee.step));
    if let Some(step) = at_knee {
        tile(&measured(step.offered), "requests/s at the knee");
        tile(&measured(step.records_per_second), "records/s there");
        tile(
            &format!("{} ms", measured(step.latency.p99_ms)),
            "p99 there",
        );
    }
    let totals = report.totals_knee.as_ref();
    if let Some(step) = totals.and_then(|knee| report.steps.get(knee.step)) {
        tile(
            &measured(step.records_per_second),
            "records/s the totals keep up with",
        );
    }
    if let Some(soak) = &report.soak {
        tile(
            &format!("{} ms", measured(soak.step.latency.p99_ms)),
            &format!("p99 in the soak of {}", time(soak.seconds)),
        );
    }
    let sums = &report.sums;
    tile(&whole(sums.records_accepted), "records accepted");
    tile(
        &whole(sums.miscounted_count + sums.differences_count),
        "sums that differ",
    );
    out.push_str("</div>\n");
    if let Some(knee) = &report.knee {
        let _ = writeln!(out, "<p>The gateway: {}.</p>", escaped(&knee.text));
    }
    if let Some(knee) = &report.totals_knee {
        let _ = writeln!(
            out,
            "<p>The totals keep up with {}.</p>",
            escaped(&knee.text)
        );
    }
}

fn setting(report: &GatewayReport, out: &mut String) {
    out.push_str("<h2>What ran where</h2>\n<table class=\"facts\">\n");
    let mut row = |name: &str, value: &str| {
        let _ = writeln!(
            out,
            "<tr><th scope=\"row\">{name}</th><td>{}</td></tr>",
            escaped(value)
        );
    };
    let machine = &report.machine;
    let limits = &report.limits;
    row("Begun", &report.started_at);
    row("Command", &report.command);
    row("Daybook", &report.version);
    let place = if report.same_machine {
        "on the generator's machine"
    } else {
        "reached over the network"
    };
    row("Gateway", &format!("{}, {place}", report.gateway));
    row(
        "Generator's machine",
        &format!(
            "{}; {} cores, {} of memory, {}, load {:.1} before",
            machine.processor,
            machine.cores,
            bytes(machine.memory_mib as f64 * 1_048_576.0),
            machine.system,
            machine.load_before
        ),
    );
    row("Mix (kind:records=weight)", &report.mix);
    row(
        "Load",
        &format!(
            "open loop, at most {} connections, {} accounts, seed {}",
            whole(report.connections as u64),
            whole(report.accounts),
            report.seed
        ),
    );
    row(
        "A step keeps up if",
        &format!(
            "at least {} % of the offered rate is accepted, p99 is at most {} ms and nothing is refused; it is a measurement if the \
             generator's own p99 is at most {} ms late; the totals keep up if they have everything within {} s after its end",
            measured(limits.achieved_percent_min),
            measured(limits.p99_ms_max),
            measured(limits.late_ms_max),
            measured(
                limits
                    .behind_max(Duration::from_secs_f64(report.step_seconds))
                    .as_secs_f64()
            )
        ),
    );
    out.push_str("</table>\n");
}

fn ramp(report: &GatewayReport, out: &mut String) {
    if report.steps.is_empty() {
        return;
    }
    let _ = writeln!(
        out,
        "<h2>The ramp: where it saturates</h2>\n<p>Steps of {} each. Latencies count from the time a request was due, so a stall is \
         in the figures of all that had to wait.</p>",
        time(report.step_seconds)
    );
    for chart in plots::ramp(report) {
        out.push_str(&chart.draw());
    }
    out.push_str(
        "<table>\n<tr><th>offered/s</th><th>accepted/s</th><th>records/s</th><th>bytes/s</th><th>p50 ms</th><th>p99 ms</th>\
         <th>max ms</th><th>totals behind ms</th><th>waited</th><th>503</th><th>server CPU</th><th>generator CPU, late p99</th>\
         <th>all cores</th><th class=\"text\">verdict</th></tr>\n",
    );
    for (index, step) in report.steps.iter().enumerate() {
        step_row(step, report.mark_of(index), out);
    }
    out.push_str("</table>\n");
}

fn percent(value: Option<f64>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| format!("{value:.0} %"))
}

fn step_row(step: &Step, mark: &'static str, out: &mut String) {
    let (class, verdict) = match (mark, step.verdict) {
        ("", Verdict::Good) => ("fine", step.verdict.text()),
        ("", Verdict::Generator) => ("void", step.verdict.text()),
        ("", _) => ("over", step.verdict.text()),
        (mark, _) => ("knee", mark),
    };
    let _ = write!(out, "<tr class=\"{class}\">");
    let cells = [
        measured(step.offered),
        measured(step.achieved),
        measured(step.records_per_second),
        bytes(step.bytes_per_second),
        measured(step.latency.p50_ms),
        measured(step.latency.p99_ms),
        measured(step.latency.max_ms),
        step.behind_ms.map_or_else(|| "-".to_owned(), measured),
        format!("{:.1} %", step.waited_percent),
        whole(step.later),
        percent(step.server_cpu_percent),
        format!(
            "{:.0} %, {:.1} ms",
            step.generator_cpu_percent, step.late_p99_ms
        ),
        percent(step.machine_cpu_percent),
    ];
    for cell in &cells {
        let _ = write!(out, "<td>{}</td>", escaped(cell));
    }
    let _ = writeln!(out, "<td class=\"text\">{verdict}</td></tr>");
    if !step.why.is_empty() {
        let _ = writeln!(
            out,
            "<tr class=\"{class} why\"><td colspan=\"{}\">{}</td></tr>",
            cells.len() + 1,
            escaped(&step.why)
        );
    }
}

fn soak_section(soak: &Soak, out: &mut String) {
    let step = &soak.step;
    let _ = writeln!(
        out,
        "<h2>The soak: {} at {} requests/s</h2>\n<p>Accepted {} requests/s, {} records/s, {}/s; p50 {} ms, p99 {} ms, p99.9 {} ms, max {} ms. \
         {} answers 503 or like it, {} refused, {} broken connections, {} repeated, {} given up.</p>",
        time(soak.seconds),
        measured(step.offered),
        measured(step.achieved),
        measured(step.records_per_second),
        bytes(step.bytes_per_second),
        measured(step.latency.p50_ms),
        measured(step.latency.p99_ms),
        measured(step.latency.p999_ms),
        measured(step.latency.max_ms),
        whole(step.later),
        whole(step.refused),
        whole(step.broken),
        whole(soak.retries),
        whole(soak.given_up)
    );
    for chart in plots::soak(soak) {
        out.push_str(&chart.draw());
    }
    if soak.server.is_none() {
        out.push_str("<p>What the server used over the whole soak is not known: --pid says which process it is, and that has to live.</p>\n");
    }
    threads(soak, out);
}

fn threads(soak: &Soak, out: &mut String) {
    let Some(server) = &soak.server else { return };
    let _ = writeln!(
        out,
        "<p>Server: {:.0} % of a core, {:.0} MiB resident at the end, {:.0} MiB at most.</p>\n<table>\n\
         <tr><th class=\"text\">threads</th><th>number</th><th>CPU</th></tr>",
        server.cpu_percent, server.rss_mib, server.rss_peak_mib
    );
    let busy = |thread: &&super::super::usage::ThreadUsage| thread.cpu_percent >= 0.5;
    for thread in server.threads.iter().filter(busy) {
        let _ = writeln!(
            out,
            "<tr><td class=\"text\">{}</td><td>{}</td><td>{:.0} %</td></tr>",
            escaped(&thread.name),
            thread.threads,
            thread.cpu_percent
        );
    }
    out.push_str("</table>\n");
}

fn kinds(report: &GatewayReport, out: &mut String) {
    if report.kinds.is_empty() {
        return;
    }
    let _ = writeln!(
        out,
        "<h2>By format, in {}</h2>\n<table>\n<tr><th class=\"text\">kind</th><th class=\"text\">source</th><th>requests</th><th>records</th>\
         <th>bytes</th><th>bytes a record</th><th>p50 ms</th><th>p90 ms</th><th>p99 ms</th><th>p99.9 ms</th><th>max ms</th></tr>",
        escaped(&report.kinds_of)
    );
    for kind in &report.kinds {
        let _ = write!(
            out,
            "<tr><td class=\"text\">{}</td><td class=\"text\">{}</td>",
            escaped(&kind.name),
            escaped(&kind.source)
        );
        let latency = &kind.latency;
        let cells = [
            whole(kind.requests),
            whole(kind.records),
            bytes(kind.bytes as f64),
            whole(kind.bytes / kind.records.max(1)),
            measured(latency.p50_ms),
            measured(latency.p90_ms),
            measured(latency.p99_ms),
            measured(latency.p999_ms),
            measured(latency.max_ms),
        ];
        for cell in cells {
            let _ = write!(out, "<td>{cell}</td>");
        }
        out.push_str("</tr>\n");
    }
    out.push_str("</table>\n");
}

fn errors(report: &GatewayReport, out: &mut String) {
    out.push_str("<h2>Errors by kind</h2>\n");
    if report.errors.is_empty() {
        out.push_str("<p>None, in the whole run.</p>\n");
        return;
    }
    out.push_str("<table>\n<tr><th class=\"text\">kind</th><th>times</th><th class=\"text\">the first said</th></tr>\n");
    for error in &report.errors {
        let _ = writeln!(
            out,
            "<tr><td class=\"text\">{}</td><td>{}</td><td class=\"text\">{}</td></tr>",
            escaped(&error.name),
            whole(error.count),
            escaped(&error.example)
        );
    }
    out.push_str("</table>\n");
}

fn sums(report: &GatewayReport, out: &mut String) {
    let sums = &report.sums;
    let _ = writeln!(
        out,
        "<h2>Sums of the whole run</h2>\n<p>{} requests: {} accepted, {} refused, {} of unknown fate. {} records were in the accepted ones, \
         {} were accepted by what the answers said.</p>",
        whole(sums.requests_sent),
        whole(sums.requests_accepted),
        whole(sums.requests_refused),
        whole(sums.requests_unknown),
        whole(sums.records_sent),
        whole(sums.records_accepted)
    );
    if sums.not_compared.is_empty() {
        let _ = writeln!(
            out,
            "<p>Count and exact sum of {} accounts were compared with the page&#39;s API: {} differences.</p>",
            whole(sums.accounts_compared),
            whole(sums.differences_count)
        );
    }
    let lines: Vec<&String> = sums.miscounted.iter().chain(&sums.differences).collect();
    if lines.is_empty() {
        return;
    }
    out.push_str("<ul>\n");
    for line in lines {
        let _ = writeln!(out, "<li>{}</li>", escaped(line));
    }
    out.push_str("</ul>\n");
}

#[cfg(test)]
mod tests {
    use super::super::report::tests::report;
    use super::*;
    use quick_xml::Reader;
    use quick_xml::events::Event;

    /// Reads a page as XML, strictly; answers the names of its elements and all its text.
    pub(crate) fn read(page: &str) -> (Vec<String>, String) {
        let mut reader = Reader::from_str(page);
        reader.config_mut().check_end_names = true;
        let (mut names, mut text) = (Vec::new(), String::new());
        loop {
            match reader.read_event().expect("well-formed") {
                Event::Start(start) | Event::Empty(start) => {
                    for attribute in start.attributes() {
                        let value = attribute.expect("an attribute").value;
                        assert!(!value.contains('<'), "escaped");
                    }
                    names.push(start.name().as_ref().to_owned());
                }
                Event::Text(part) => text.push_str(&part),
                Event::GeneralRef(name) => {
                    text.push_str(match &*name {
                        "amp" => "&",
                        "lt" => "<",
                        "gt" => ">",
                        "quot" => "\"",
                        "#39" => "'",
                        other => panic!("an entity that XML does not know: {other}"),
                    });
                }
                Event::Eof => break,
                _ => {}
            }
        }
        (names, text)
    }

    #[test]
    fn the_page_is_well_formed_and_needs_nothing() {
        let page = page(&report());
        let (names, text) = read(&page);
        assert!(
            !names
                .iter()
                .any(|name| matches!(&**name, "script" | "link" | "img" | "iframe"))
        );
        assert!(!page.contains("url(") && !page.contains("@import") && !page.contains("src="));
        assert_eq!(names.iter().filter(|name| *name == "svg").count(), 6);
        // From outside, and there as text.
        for outside in [
            "--mix 'a<b>&\"c\"'",
            "Some <Processor> & Co",
            "<script>alert(1)</script>",
        ] {
            assert!(text.contains(outside), "{outside}");
        }
        for heading in [
            "The ramp",
            "The soak",
            "By format",
            "Errors by kind",
            "Sums",
            "do not say",
        ] {
            assert!(text.contains(heading), "{heading}");
        }
        assert!(page.contains("prefers-color-scheme: dark"));
    }

    #[test]
    fn a_page_of_a_run_without_parts_is_well_formed_too() {
        let mut report = report();
        report.steps.clear();
        report.knee = None;
        report.errors.clear();
        let soak = report.soak.as_mut().expect("a soak");
        soak.timeline.clear();
        soak.server = None;
        read(&page(&report));
        report.soak = None;
        report.sums.differences = vec!["a < b".to_owned()];
        let (_, text) = read(&page(&report));
        assert!(text.contains("a < b") && text.contains("None, in the whole run."));
        read(&page(&GatewayReport::default()));
    }

    #[test]
    fn everything_is_escaped() {
        assert_eq!(
            escaped("<&>\"'\u{0}\u{b}\n"),
            "&lt;&amp;&gt;&quot;&#39;\u{fffd}\u{fffd}\n"
        );
    }

    #[test]
    fn the_page_is_as_it_was() {
        let page = page(&report());
        let begin = page.find("<h1>").expect("a heading");
        let end = page.find("<figure>").expect("a chart");
        expect_test::expect![[r#"
            <h1>Gateway bench <span class="badge good">passed</span></h1>
            <div class="tiles">
            <div class="tile"><b>1,000</b><span>requests/s at the knee</span></div>
            <div class="tile"><b>10,600</b><span>records/s there</span></div>
            <div class="tile"><b>6.00 ms</b><span>p99 there</span></div>
            <div class="tile"><b>10,600</b><span>records/s the totals keep up with</span></div>
            <div class="tile"><b>6.00 ms</b><span>p99 in the soak of 1 min</span></div>
            <div class="tile"><b>636,000</b><span>records accepted</span></div>
            <div class="tile"><b>0</b><span>sums that differ</span></div>
            </div>
            <p>The gateway: 1,000 requests/s, 10,600 records/s; 2,000/s was too much: errors.</p>
            <p>The totals keep up with 1,000 requests/s, 10,600 records/s.</p>
            <h2>What ran where</h2>
            <table class="facts">
            <tr><th scope="row">Begun</th><td>2026-11-23T10:15:00Z</td></tr>
            <tr><th scope="row">Command</th><td>daybook bench gateway --mix &#39;a&lt;b&gt;&amp;&quot;c&quot;&#39;</td></tr>
            <tr><th scope="row">Daybook</th><td>0.1.0</td></tr>
            <tr><th scope="row">Gateway</th><td>http://127.0.0.1:8081, on the generator&#39;s machine</td></tr>
            <tr><th scope="row">Generator's machine</th><td>Some &lt;Processor&gt; &amp; Co; 2 cores, 25.2 GB of memory, linux 6.1, load 0.3 before</td></tr>
            <tr><th scope="row">Mix (kind:records=weight)</th><td>json:1=60,pain.001:10=40</td></tr>
            <tr><th scope="row">Load</th><td>open loop, at most 128 connections, 1,000 accounts, seed 7</td></tr>
            <tr><th scope="row">A step keeps up if</th><td>at least 98.0 % of the offered rate is accepted, p99 is at most 250 ms and nothing is refused; it is a measurement if the generator&#39;s own p99 is at most 50.0 ms late; the totals keep up if they have everything within 1.00 s after its end</td></tr>
            </table>
            <h2>The ramp: where it saturates</h2>
            <p>Steps of 10 s each. Latencies count from the time a request was due, so a stall is in the figures of all that had to wait.</p>
        "#]].assert_eq(&page[begin..end]);
        let begin = page.find("<h2>By format").expect("a table");
        expect_test::expect![[r#"
            <h2>By format, in the soak</h2>
            <table>
            <tr><th class="text">kind</th><th class="text">source</th><th>requests</th><th>records</th><th>bytes</th><th>bytes a record</th><th>p50 ms</th><th>p90 ms</th><th>p99 ms</th><th>p99.9 ms</th><th>max ms</th></tr>
            <tr><td class="text">json</td><td class="text">json</td><td>25,200</td><td>25,200</td><td>5.17 MB</td><td>205</td><td>1.40</td><td>2.10</td><td>5.60</td><td>12.6</td><td>28.0</td></tr>
            </table>
            <h2>Errors by kind</h2>
            <table>
            <tr><th class="text">kind</th><th>times</th><th class="text">the first said</th></tr>
            <tr><td class="text">503 later</td><td>12</td><td class="text">the queue is full &lt;script&gt;alert(1)&lt;/script&gt;</td></tr>
            </table>
            <h2>Sums of the whole run</h2>
            <p>60,012 requests: 60,000 accepted, 0 refused, 0 of unknown fate. 636,000 records were in the accepted ones, 636,000 were accepted by what the answers said.</p>
            <p>Count and exact sum of 1,000 accounts were compared with the page&#39;s API: 0 differences.</p>
            <h2>What the numbers do not say</h2>
            <ul>
            <li>Generator and server shared this machine&#39;s cores: a server alone on it does more than the knee says, and clients over a network see its latency too.</li>
            <li>A latency ends with the answer 202: the transaction is then durable in the queue, not yet in the totals. `daybook bench` measures until it is on the page.</li>
            <li>Documents are made up and alike: real ones differ in size and content. A template of your own is closer.</li>
            </ul>
            </main>
            </body>
            </html>
        "#]].assert_eq(&page[begin..]);
    }
}
