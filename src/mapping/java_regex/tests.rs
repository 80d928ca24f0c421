//! Expressions, by what Java answers (java.util.regex of Java 17).

use proptest::prelude::*;

use super::*;

fn whole(pattern: &str, text: &str) -> bool {
    JavaRegex::compile(pattern).unwrap().is_full_match(text).unwrap()
}

#[test]
fn whole_texts() {
    let cases = [
        (r"4\d{2}", "404", true),
        (r"4\d{2}", "4040", false),
        (r"4\d\d$", "404", true),
        (r"^5..$", "503", true),
        (".*", "a\nb", false),
        (r"(?s).*", "a\nb", true),
        (r"(\n|.)+", "a\nb", true),
        (r".*Error.*", "x Error y", true),
        (r"\d+", "٣", false),
        (r"\w+", "é", false),
        (r"(?U)\w+", "é", true),
        (r"\Qa.b\E+", "a.bb", true),
        (r"\Qa.b\E", "axb", false),
        (r"\p{Alpha}+\p{Digit}?", "abc1", true),
        (r"\p{Alpha}", "é", false),
        (r"\p{L}\p{Lu}\pL", "éÉé", true),
        (r"\P{Alpha}", "1", true),
        (r"[a-z&&[^aeiou]]+", "xyz", true),
        (r"[a-z&&[^aeiou]]+", "xaz", false),
        (r"[a-c[x-z]]+", "ay", true),
        (r"[^a-c]", "d", true),
        (r"[]a]+", "]a", true),
        (r"[a\-z]+", "-az", true),
        (r"[a-]+", "a-", true),
        (r"[\d_]+", "1_", true),
        (r"[^\s]+", "ab", true),
        (r"a++b", "aab", true),
        (r"a++ab", "aab", false),
        (r"(?>a+)b", "aab", true),
        (r"(a)\1", "aa", true),
        (r"(?<x>a)\k<x>", "aa", true),
        (r"(?i)abc", "ABC", true),
        (r"a(?i:b)c", "aBc", true),
        (r"a(?i:b)c", "aBC", false),
        (r"(?x) a b # c", "ab", true),
        (r"\h\v\R", " \n\r\n", true),
        (r"\x41\u0042\x{43}\0104", "ABCD", true),
        (r"\uD83D\uDE00", "😀", true),
        (r"\cA\t\e", "\u{1}\t\u{1b}", true),
        (r"(?=a)\w(?!b)(?<=a)", "a", true),
        (r"", "", true),
        (r"a|b|", "", true),
        (r"~-&#!", "~-&#!", true),
    ];
    for (pattern, text, expected) in cases {
        assert_eq!(whole(pattern, text), expected, "{pattern} of {text:?}");
    }
}

#[test]
fn replacements() {
    let cases = [
        ("a*", "baac", "-", "-b--c-"),
        ("x*", "abc", "-", "-a-b-c-"),
        ("(a)(b)?", "ab a", "[$1$2]", "[ab] [a]"),
        ("(?<n>a)", "xa", "${n}${n}", "xaa"),
        ("a", "a", r"\$1\\", r"$1\"),
        ("(a)", "a", "$10", "a0"),
        (r"\\'", r"it\'s", "'", "it's"),
        ("$", "a\n", "!", "a!\n!"),
        (r"\.", "1.2.3", "", "123"),
        ("(?m)^", "a\nb", "> ", "> a\n> b"),
        (".", "a\u{2028}b", "x", "x\u{2028}x"),
    ];
    for (pattern, text, replacement, expected) in cases {
        let regex = JavaRegex::compile(pattern).unwrap();
        let result = regex.replace_all(text, replacement, 1_000);
        assert_eq!(result.as_deref(), Ok(expected), "{pattern} of {text:?}");
    }
    let regex = JavaRegex::compile("a").unwrap();
    assert_eq!(regex.replace_first("aa", "b", 10).as_deref(), Ok("ba"));
    for replacement in ["$", "$2", "$x", "\\", "${n}x${"] {
        assert!(regex.replace_all("a", replacement, 10).is_err(), "{replacement}");
    }
    assert_eq!(regex.replace_all("aaaa", "bbbb", 10), Err(RegexError::TooLong { limit: 10 }));
}

#[test]
fn splits() {
    let cases: &[(&str, &str, i32, &[&str])] = &[
        (",", "a,b,,", 0, &["a", "b"]),
        (",", "a,b,,", -1, &["a", "b", "", ""]),
        (",", "a,b,c", 2, &["a", "b,c"]),
        (",", ",a", 0, &["", "a"]),
        ("", "abc", 0, &["a", "b", "c"]),
        (",", "", 0, &[""]),
        (",", ",", 0, &[]),
        (r"\|", "a|b", 0, &["a", "b"]),
        ("x", "abc", 0, &["abc"]),
    ];
    for (pattern, text, limit, expected) in cases {
        let parts = JavaRegex::compile(pattern).unwrap().split(text, *limit).unwrap();
        assert_eq!(parts, *expected, "{pattern} of {text:?}, {limit}");
    }
}

#[test]
fn what_java_refuses_or_we_cannot_say() {
    let patterns = [
        "*a",
        "a**",
        "(",
        ")",
        "[",
        "[a",
        "a{",
        "a{x}",
        r"\",
        r"\y",
        "(?<1>a)",
        r"\p{InGreek}",
        r"\X",
        "[z-a]",
        r"\uD83D",
        "(?z)",
        "a{99999999}",
        "(a{900}){900}",
    ];
    for pattern in patterns {
        assert!(JavaRegex::compile(pattern).is_err(), "{pattern}");
    }
    assert!(JavaRegex::compile(&"(".repeat(1_000)).is_err());
    assert!(JavaRegex::compile(&"a".repeat(PATTERN_BYTES_MAX + 1)).is_err());
}

#[test]
fn backtracking_ends() {
    let regex = JavaRegex::compile(r"(?:(a+)+\1)+b").unwrap();
    let text = "a".repeat(60);
    assert_eq!(regex.is_full_match(&text), Err(RegexError::TooManySteps { limit: STEPS_BACK_MAX }),);
}

proptest! {
    #[test]
    fn nothing_panics(pattern in r"[a-c\[\]\\^$.|?*+(){}&dwpQE0-9,:<>=!-]{0,24}", text in "[a-c0\n]{0,20}") {
        if let Ok(regex) = JavaRegex::compile(&pattern) {
            let _outcome = regex.is_full_match(&text);
            let _outcome = regex.replace_all(&text, "$0x", 10_000);
            let _outcome = regex.split(&text, 0);
        }
    }
}
