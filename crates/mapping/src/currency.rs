//! Numeric currency codes, ISO 4217: what ISO 8583 and the like write instead of `EUR`.

/// The alphabetic code of a numeric one of three digits; `None` for a code that is not one.
pub(crate) fn alphabetic(numeric: &str) -> Option<&'static str> {
    let found = CODES
        .binary_search_by(|known| known[..3].cmp(numeric))
        .ok()?;
    Some(&CODES[found][3..])
}

/// Numeric and alphabetic code, in numeric order: the currencies that [`types::currency_digits`] knows.
///
/// Where a number was handed on, its present currency: 532 is XCG.
#[rustfmt::skip]
const CODES: &[&str] = &[
    "008ALL", "012DZD", "032ARS", "036AUD", "044BSD", "048BHD", "050BDT", "051AMD", "052BBD",
    "060BMD", "064BTN", "068BOB", "072BWP", "084BZD", "090SBD", "096BND", "104MMK", "108BIF",
    "116KHR", "124CAD", "132CVE", "136KYD", "144LKR", "152CLP", "156CNY", "170COP", "174KMF",
    "188CRC", "191HRK", "192CUP", "203CZK", "208DKK", "214DOP", "222SVC", "230ETB", "232ERN",
    "238FKP", "242FJD", "262DJF", "270GMD", "292GIP", "320GTQ", "324GNF", "328GYD", "332HTG",
    "340HNL", "344HKD", "348HUF", "352ISK", "356INR", "360IDR", "364IRR", "368IQD", "376ILS",
    "388JMD", "392JPY", "398KZT", "400JOD", "404KES", "408KPW", "410KRW", "414KWD", "417KGS",
    "418LAK", "422LBP", "426LSL", "430LRD", "434LYD", "446MOP", "454MWK", "458MYR", "462MVR",
    "480MUR", "484MXN", "496MNT", "498MDL", "504MAD", "512OMR", "516NAD", "524NPR", "532XCG",
    "533AWG", "548VUV", "554NZD", "558NIO", "566NGN", "578NOK", "586PKR", "590PAB", "598PGK",
    "600PYG", "604PEN", "608PHP", "634QAR", "643RUB", "646RWF", "654SHP", "682SAR", "690SCR",
    "694SLL", "702SGD", "704VND", "706SOS", "710ZAR", "728SSP", "748SZL", "752SEK", "756CHF",
    "760SYP", "764THB", "776TOP", "780TTD", "784AED", "788TND", "800UGX", "807MKD", "818EGP",
    "826GBP", "834TZS", "840USD", "858UYU", "860UZS", "882WST", "886YER", "901TWD", "924ZWG",
    "925SLE", "926VED", "927UYW", "928VES", "929MRU", "930STN", "931CUC", "932ZWL", "933BYN",
    "934TMT", "936GHS", "938SDG", "940UYI", "941RSD", "943MZN", "944AZN", "946RON", "947CHE",
    "948CHW", "949TRY", "950XAF", "951XCD", "952XOF", "953XPF", "967ZMW", "968SRD", "969MGA",
    "970COU", "971AFN", "972TJS", "973AOA", "975BGN", "976CDF", "977BAM", "978EUR", "979MXV",
    "980UAH", "981GEL", "984BOV", "985PLN", "986BRL", "990CLF", "997USN",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_sorted_and_known() {
        assert!(CODES.is_sorted());
        for code in CODES {
            assert!(
                code.len() == 6 && code[..3].bytes().all(|byte| byte.is_ascii_digit()),
                "{code}"
            );
            assert!(types::currency_digits(&code[3..]).is_some(), "{code}");
            assert_eq!(alphabetic(&code[..3]), Some(&code[3..]));
        }
    }

    #[test]
    fn numbers_have_currencies() {
        for (numeric, expected) in [
            ("978", Some("EUR")),
            ("840", Some("USD")),
            ("008", Some("ALL")),
            ("360", Some("IDR")),
            ("191", Some("HRK")),
            ("999", None),
            ("97", None),
            ("9780", None),
            ("", None),
        ] {
            assert_eq!(alphabetic(numeric), expected, "{numeric}");
        }
    }
}
