//! Patterns of models, by what Rhino answers: ECMA 262 5.1, sections 15.10 and B.1.2.

use proptest::prelude::*;

use super::*;

const BYTES: usize = 10 << 20;

#[track_caller]
fn found(pattern: &str, text: &str) -> bool {
    EcmaRegex::compile(pattern, BYTES).unwrap().is_found_in(text)
}

/// ECMA 262 B.1.2: what has no meaning is itself.
#[test]
fn annex_b_allows_what_is_not_meant() {
    for (pattern, yes, no) in [
        (r"^[\w-\.]+@([\w-]+\.)+[\w-]{2,4}$", "a.b-c@d-e.org", "a b@d.org"),
        (r"^[\w-.]+$", "a-b.c", "a+b"),
        (r"^[+-\d]+$", "+-7", ","),
        (r"^{.*}$", "{a}", "a"),
        ("^a]$", "a]", "a"),
        ("^x{1$", "x{1", "x"),
        ("^a{,2}$", "a{,2}", "aa"),
        ("^a{x}$", "a{x}", "a"),
        ("^a}$", "a}", "a"),
        (r"^\{\}$", "{}", ""),
        ("^[^]$", "\n", ""),
        (r"^[\b]$", "\u{8}", "b"),
        (r"^\0$", "\0", "0"),
        (r"^\012\18$", "\n\u{1}8", "128"),
        (r"^(a)\1\2$", "aa\u{2}", "aa2"),
        (r"^\8$", "8", "\\8"),
        (r"\A4\z", "xA4z", "4"),
        (r"\Z", "Z", "z"),
        (r"^\e\h\k\y$", "ehky", "e"),
        (r"^\p{L}$", "p{L}", "é"),
        (r"^\cA\c1$", "\u{1}\\c1", "cAc1"),
        (r"^\x4\x41\u004\u0041$", "x4Au004A", "AA"),
        (r"^\uD83D\uDE00$", "😀", "x"),
        (r"^[\uD83D\uDE00]$", "😀", "x"),
        (r"^[\uD83C-\uDBFF][\uDC00-\uDFFF]$", "😀", "é"),
        (r"^\uD83D[\uDE00-\uDE4F]$", "😀", "🤖"),
        (r"^[^\uD800-\uDFFF]$", "é", ""),
        ("^[[:alpha:]]$", "a]", "b]"),
        ("^[a-c-e]+$", "-e", "d"),
        (r"^[\-a]+$", "-a", r"\"),
        (r"^[^\S]$", " ", "a"),
        ("^(?:a|b)?$", "b", "c"),
        ("^(?=a)+a$", "a", "b"),
        ("^(?=b)*(?:)+()*(?:^){0,2}a$", "a", "b"),
        ("^a{2}{3}$", "aa{3}", "aaaaaa"),
        ("^a(?!b)", "ac", "ab"),
        (r"^(?:(a)|b)\1$", "b", "ab"),
        (r"^\1(a)$", "a", "aa"),
        (r"\bé", "aé", "éé"),
        (r"^\B.\B$", "é", "a"),
        (r"^\d\w\s$", "7_\u{feff}", "٣a "),
        ("^.$", "é", "\u{2028}"),
        ("^a+?$", "aa", "b"),
        ("^a$", "a", "a\n"),
        ("", "anything", "\0\0"),
    ] {
        assert!(EcmaRegex::compile(pattern, BYTES).is_ok(), "{pattern}");
        assert!(found(pattern, yes), "{pattern} in {yes:?}");
        if !pattern.is_empty() {
            assert!(!found(pattern, no), "{pattern} in {no:?}");
        }
    }
    // The empty class is in no text.
    assert!(!found("[]a]", "a]") && !found("[]", "a"));
    for pattern in ["^[0-9]{1,10000}$", "^[^<>]{0,4000}$", "^.{1,4000}$"] {
        assert!(found(pattern, &"7".repeat(3_999)), "{pattern}");
        assert!(!found(pattern, &"<".repeat(10_001)), "{pattern}");
    }
}

#[test]
fn what_is_no_expression_says_why() {
    for pattern in [
        "[", "[a", "(", "a)", "*a", "a**", "a|*", "^*", r"\b+", "a{3,2}", "a{99999}", "[z-a]",
        r"\", "(?i)a", "(?<n>a)", "(?<=a)b", "(?", "(a",
    ] {
        assert!(check(pattern).is_err(), "{pattern}");
    }
    assert!(check(&"(".repeat(1_000)).is_err());
    let heavy = EcmaRegex::compile("((a{900}){900}){900}", BYTES).unwrap_err();
    assert_eq!(heavy, "it takes too much memory");
}

#[test]
fn a_search_ends() {
    let text = "a".repeat(5_000);
    assert!(!found("^(?:(a+)+\\1)+b", &text));
    assert!(!found("^(a+)+$(?=b)", &text));
}

proptest! {
    #[test]
    fn nothing_panics(
        pattern in r"[a-c\[\]\\^$.|?*+(){}dwbuDS0-9,:=!xc-]{0,24}",
        text in "[a-c0\\n😀]{0,20}",
    ) {
        if let Ok(regex) = EcmaRegex::compile(&pattern, BYTES) {
            regex.is_found_in(&text);
        }
    }

    /// Whatever is an expression here is one for our engine, too.
    #[test]
    fn what_is_translated_compiles(pattern in r"([a-c]|\[[^a]?\]|\\[a-zA-Z0-9]|\(\?[=!:]|\([a^]?\)|[(){}|.^$]|[*+?]){0,12}") {
        if check(&pattern).is_ok() {
            prop_assert!(EcmaRegex::compile(&pattern, BYTES).is_ok());
        }
    }
}
