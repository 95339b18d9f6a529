//! Cutting by data: a file in, the requests out. The mapping itself says what the records are.

use mapping::{Context, Limits, RecordOutcome};

use super::*;

fn mapping(source: &str) -> Mapping {
    let path = format!(
        "{}/../../config/sources/{source}.toml",
        env!("CARGO_MANIFEST_DIR")
    );
    let text = std::fs::read_to_string(&path).expect("a ready-made source");
    Mapping::compile(&path, &text).expect("a valid mapping")
}

/// Hands out few bytes at a time, so that records are met cut at every place.
struct Trickle<'t>(&'t [u8], usize);

impl Read for Trickle<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.0.len().min(self.1).min(buffer.len());
        buffer[..count].copy_from_slice(&self.0[..count]);
        self.0 = &self.0[count..];
        Ok(count)
    }
}

fn pieces(text: &str, cut: &Cut, records_max: usize) -> Vec<Piece> {
    let mut all: Vec<Vec<Piece>> = Vec::new();
    for step in [1, 3, usize::MAX] {
        let mut cutter = Cutter::new(Trickle(text.as_bytes(), step), cut.clone(), records_max);
        let mut pieces = Vec::new();
        while let Some(piece) = cutter.next_piece().expect("can be cut") {
            pieces.push(piece);
        }
        assert_eq!(cutter.next_piece().expect("stays at the end"), None);
        assert_eq!(cutter.hash(), blake3::hash(text.as_bytes()));
        let last = pieces.last().map_or(0, |piece| piece.file_bytes);
        assert!(last <= text.len() as u64);
        all.push(pieces);
    }
    assert_eq!(all[0], all[1]);
    assert_eq!(all[1], all[2]);
    all.remove(0)
}

fn shown(text: &str, cut: &Cut, records_max: usize) -> Vec<String> {
    pieces(text, cut, records_max)
        .into_iter()
        .map(|piece| {
            let records = piece
                .records
                .map_or("?".to_owned(), |records| records.to_string());
            let body = String::from_utf8_lossy(&piece.body).into_owned();
            format!("{}+{records} {body:?}", piece.first_record)
        })
        .collect()
}

/// Every record's number and the id that the mapping derives, over all requests.
fn identities(mapping: &Mapping, text: &str, records_max: usize) -> Vec<(u64, String, String)> {
    let mut seen = Vec::new();
    for piece in pieces(text, &Cut::of(mapping), records_max) {
        let mut made_up = || "made up".to_owned();
        let mut context = Context {
            received_at: 1_795_435_200_000_000,
            idempotency_key: Some("hash"),
            first_record: piece.first_record,
            lines: piece.content_type == NDJSON,
            new_id: &mut made_up,
        };
        let mut out = Vec::new();
        let mut outcomes = Vec::new();
        mapping
            .decode(
                &piece.body,
                &mut context,
                &Limits::default(),
                &mut out,
                &mut |outcome| {
                    outcomes.push(outcome);
                },
            )
            .expect("a document that is read");
        if let Some(records) = piece.records {
            assert!(
                outcomes.len() as u64 <= records,
                "more records than numbers"
            );
        }
        for outcome in outcomes {
            seen.push(match outcome {
                RecordOutcome::Translated(record) => {
                    let slice = |range: &Range<u32>| {
                        let bytes = &out[range.start as usize..range.end as usize];
                        String::from_utf8_lossy(bytes).into_owned()
                    };
                    (record.record, slice(&record.id), slice(&record.account))
                }
                RecordOutcome::Refused(record) => {
                    let number = record.refusal.record.expect("a record's number");
                    (number, "refused".to_owned(), record.refusal.rule.to_owned())
                }
            });
        }
    }
    seen
}

#[test]
fn a_header_goes_with_every_request_and_has_no_number() {
    let cut = Cut::of(&mapping("cdnow"));
    assert_eq!(
        shown(
            " customer_id date number_of_cds dollar_value\r\n 1 2 3 4\r\n\r\n 5 6 7 8\r\n 9 9 9 9",
            &cut,
            2
        ),
        [
            r#"1+2 " customer_id date number_of_cds dollar_value\r\n 1 2 3 4\r\n\r\n 5 6 7 8\r\n""#,
            r#"3+1 " customer_id date number_of_cds dollar_value\r\n 9 9 9 9""#,
        ]
    );
    assert_eq!(
        shown("1 2 3 4\n5 6 7 8\n", &cut, 1),
        [r#"1+1 "1 2 3 4\n""#, r#"2+1 "5 6 7 8\n""#]
    );
    assert_eq!(shown("", &cut, 1), [""; 0]);
    assert_eq!(shown("\n \n", &cut, 1), [""; 0]);
}

#[test]
fn rows_with_line_ends_in_quotes_stay_whole() {
    let cut = Cut::of(&mapping("card-csv"));
    assert_eq!(
        shown("\u{feff}id,card\na,\"x\ny\"\nb,z\n", &cut, 1),
        [r#"1+1 "id,card\na,\"x\ny\"\n""#, r#"2+1 "id,card\nb,z\n""#]
    );
    assert_eq!(shown("a,\"open\n\nb", &cut, 1), [r#"1+1 "a,\"open\n\nb""#]);
}

#[test]
fn json_is_cut_between_objects() {
    let cut = Cut::Json;
    assert_eq!(
        shown("\u{feff}\n{\"a\":1}\n\n{\"a\":2}\n{\"a\":3}", &cut, 2),
        [r#"1+2 "{\"a\":1}\n\n{\"a\":2}\n""#, r#"3+1 "{\"a\":3}""#]
    );
    assert_eq!(
        shown(" [ {\"a\":1} ,\n{\"a\":[2]},{} ]\n", &cut, 2),
        [r#"1+2 "[{\"a\":1} ,\n{\"a\":[2]}]""#, r#"3+1 "[{}]""#]
    );
    assert_eq!(
        shown("{\n\"a\":1\n}\n{\n\"a\":2}", &cut, 1),
        [r#"1+1 "{\n\"a\":1\n}""#, r#"2+1 "{\n\"a\":2}""#]
    );
}

#[test]
fn a_list_that_fits_into_one_request_is_sent_as_it_is() {
    let cut = Cut::Json;
    assert_eq!(shown("[ {}, {} ] ", &cut, 9), [r#"1+2 "[ {}, {} ] ""#]);
    assert_eq!(shown("[]", &cut, 9), [r#"1+0 "[]""#]);
    assert_eq!(shown("[1,2]", &cut, 1), [r#"1+? "[1,2]""#]);
    assert_eq!(shown("[{},]x", &cut, 5), [r#"1+? "[{},]x""#]);
    assert_eq!(shown("{\n\"a\": ", &cut, 5), [r#"1+? "{\n\"a\": ""#]);
}

#[test]
fn a_request_ends_behind_a_line_that_may_hold_several_records() {
    assert_eq!(
        shown("{}\n{} {}\n{}\nx\n{}", &Cut::Json, 9),
        [r#"1+4 "{}\n{} {}\n""#, r#"5+2 "{}\nx\n""#, r#"7+1 "{}""#]
    );
}

#[test]
fn xml_goes_whole() {
    let cut = Cut::of(&mapping("pain.001"));
    assert_eq!(shown("<a>\n<b/></a>", &cut, 1), [r#"1+? "<a>\n<b/></a>""#]);
    assert_eq!(shown("", &cut, 1), [r#"1+? """#]);
}

#[test]
fn identities_do_not_depend_on_the_size_of_requests() {
    let cdnow = mapping("cdnow");
    let path = format!(
        "{}/../mapping/tests/data/CDNOW_master.txt",
        env!("CARGO_MANIFEST_DIR")
    );
    let master = std::fs::read_to_string(path).expect("the sample");
    let beginning: String = master
        .lines()
        .take(400)
        .flat_map(|line| [line, "\r\n"])
        .collect();
    let all = identities(&cdnow, &beginning, 10_000);
    assert_eq!(all.len(), 399);
    assert_eq!(all.first().map(|first| first.0), Some(1));
    for size in [1, 7, 398, 399] {
        assert_eq!(
            identities(&cdnow, &beginning, size),
            all,
            "{size} a request"
        );
    }
}

#[test]
fn identities_of_json_do_not_depend_on_it_either() {
    let json = mapping("json");
    let record = |account: &str| {
        format!(
            "{{\"account\":\"{account}\",\"amount\":\"1\",\"currency\":\"EUR\",\"booked_at\":\"2026-11-23T10:15:00Z\"}}"
        )
    };
    let (a, b, c, d) = (record("a"), record("b"), record("c"), record("d"));
    let files = [
        format!("{a}\n{b}\n\n{c}\n{d}\n"),
        format!("[{a},{b},\n{c},{d}]"),
        format!("{a}\n{b}{c}\nbroken\n{{\"broken\n{d}\n{a}"),
    ];
    for file in files {
        let all = identities(&json, &file, 10_000);
        for size in 1..6 {
            assert_eq!(
                identities(&json, &file, size),
                all,
                "{size} a request of {file}"
            );
        }
    }
}

#[test]
fn the_whole_sample_is_counted() {
    let path = format!(
        "{}/../mapping/tests/data/CDNOW_master.txt",
        env!("CARGO_MANIFEST_DIR")
    );
    let file = std::fs::File::open(path).expect("the sample");
    let mut cutter = Cutter::new(file, Cut::of(&mapping("cdnow")), 5_000);
    let mut last = (0, 0);
    while let Some(piece) = cutter.next_piece().expect("can be cut") {
        assert_eq!(piece.first_record, last.0 + last.1 + u64::from(last.0 == 0));
        last = (piece.first_record, piece.records.expect("counted"));
    }
    assert_eq!(last.0 + last.1 - 1, 69_659);
}

#[test]
fn a_record_without_end_is_named() {
    let text = format!("a,b\nc,\"{}", "x\n".repeat(PIECE_BYTES_MAX));
    let mut cutter = Cutter::new(text.as_bytes(), Cut::of(&mapping("card-csv")), 1);
    let first = cutter.next_piece().expect("a row").expect("a row");
    assert_eq!(&first.body[..], b"a,b\n");
    let error = cutter.next_piece().expect_err("no end");
    assert!(
        error.to_string().starts_with("record 2 has no end"),
        "{error}"
    );
}

#[test]
fn the_mapping_says_how_to_cut() {
    assert_eq!(Cut::of(&mapping("json")), Cut::Json);
    assert_eq!(Cut::of(&mapping("camt.053")), Cut::Whole(Format::Xml));
    let Cut::Rows(rows) = Cut::of(&mapping("cdnow")) else {
        panic!("cdnow has rows");
    };
    assert_eq!((rows.delimiter, rows.header), (None, None));
}
