//! Code laid bare: what is comment, text or test is blanked, and every line keeps its number.

/// Blanks comments and the contents of string and character literals.
pub fn bare(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    let mut i = 0;
    while i < chars.len() {
        let end = skip(&chars, i);
        if end == i {
            out.push(chars[i]);
            i += 1;
        } else {
            // Quotes stay, so that `"..."` still reads as a value.
            let quoted = chars[end - 1] == '"' || chars[end - 1] == '#';
            blank(&chars[i..end], quoted, &mut out);
            i = end;
        }
    }
    out
}

fn blank(span: &[char], quoted: bool, out: &mut String) {
    for (i, c) in span.iter().enumerate() {
        let edge = quoted && (i == 0 || i + 1 == span.len());
        out.push(if *c == '\n' {
            '\n'
        } else if edge {
            '"'
        } else {
            ' '
        });
    }
}

/// The end of the comment or literal that starts at `i`, or `i` if none does.
fn skip(chars: &[char], i: usize) -> usize {
    let at = |k: usize| chars.get(k).copied().unwrap_or('\0');
    let word_before = i > 0 && (at(i - 1).is_alphanumeric() || at(i - 1) == '_');
    match (at(i), at(i + 1)) {
        ('/', '/') => (i..chars.len()).find(|&k| chars[k] == '\n').unwrap_or(chars.len()),
        ('/', '*') => end_of_comment(chars, i),
        ('"', _) => end_of_string(chars, i + 1),
        ('r', '"' | '#') if !word_before => end_of_raw_string(chars, i + 1).unwrap_or(i),
        ('b', 'r') if !word_before && matches!(at(i + 2), '"' | '#') => end_of_raw_string(chars, i + 2).unwrap_or(i),
        ('\'', '\\') => (i + 3..chars.len()).find(|&k| chars[k] == '\'').map_or(chars.len(), |k| k + 1),
        // A lifetime has no closing quote two characters on.
        ('\'', _) if at(i + 2) == '\'' => i + 3,
        _ => i,
    }
}

fn end_of_comment(chars: &[char], start: usize) -> usize {
    let (mut depth, mut i) = (0, start);
    while i + 1 < chars.len() {
        match (chars[i], chars[i + 1]) {
            ('/', '*') => (depth, i) = (depth + 1, i + 2),
            ('*', '/') => (depth, i) = (depth - 1, i + 2),
            _ => i += 1,
        }
        if depth == 0 {
            return i;
        }
    }
    chars.len()
}

fn end_of_string(chars: &[char], mut i: usize) -> usize {
    while i < chars.len() {
        match chars[i] {
            '\\' => i += 2,
            '"' => return i + 1,
            _ => i += 1,
        }
    }
    chars.len()
}

/// `i` is at the first `#` or `"` after the `r`.
fn end_of_raw_string(chars: &[char], i: usize) -> Option<usize> {
    let hashes = chars[i..].iter().take_while(|&&c| c == '#').count();
    if chars.get(i + hashes) != Some(&'"') {
        return None;
    }
    let closing =
        |k: &usize| chars[*k] == '"' && chars[k + 1..].iter().take(hashes).filter(|&&c| c == '#').count() == hashes;
    Some((i + hashes + 1..chars.len()).find(closing).map_or(chars.len(), |k| k + 1 + hashes))
}

/// Blanks every item under `#[cfg(test)]` or `#[test]` of bare code.
pub fn without_tests(bare: &str) -> String {
    let mut out: Vec<u8> = bare.as_bytes().to_vec();
    for mark in ["#[cfg(test)]", "#[test]"] {
        for (start, _) in bare.match_indices(mark) {
            let end = start + end_of_item(&bare[start..]);
            out[start..end].iter_mut().filter(|byte| **byte != b'\n').for_each(|byte| *byte = b' ');
        }
    }
    // Whole items were blanked byte by byte, so what is left is the text it was.
    String::from_utf8(out).unwrap()
}

/// The length of the item that starts with an attribute: up to the `;` or the closing brace.
fn end_of_item(code: &str) -> usize {
    let mut depth = 0;
    for (i, c) in code.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => {
                depth -= 1;
                if depth == 0 {
                    return i + 1;
                }
            }
            ';' if depth == 0 => return i + 1,
            _ => {}
        }
    }
    code.len()
}

/// Offsets where `word` stands in `code` as a word of its own.
pub fn words<'a>(code: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    let inside = |c: char| c.is_alphanumeric() || c == '_';
    let opens = word.starts_with(inside);
    let closes = word.ends_with(inside);
    code.match_indices(word).map(|(i, _)| i).filter(move |&i| {
        let before = code[..i].chars().next_back().is_some_and(inside);
        let after = code[i + word.len()..].chars().next().is_some_and(inside);
        !(opens && before || closes && after)
    })
}

/// The line, from 1, of a byte offset.
pub fn line(text: &str, offset: usize) -> usize {
    text[..offset].matches('\n').count() + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &str) {
        assert_eq!(bare(text).split_whitespace().collect::<Vec<_>>().join(" "), expected);
    }

    #[test]
    fn comments_and_strings_are_blanked() {
        check("a(); // unsafe\nb();", "a(); b();");
        check("a(/* x /* y */ z */);", "a( );");
        check("let s = \"a \\\" // b\"; c()", "let s = \" \"; c()");
        check("let s = r#\"a \" b\"#; c()", "let s = \" \"; c()");
        check("let c = '\"'; d('\\''); e::<'a>()", "let c = ; d( ); e::<'a>()");
        check("for r in x {}", "for r in x {}");
    }

    #[test]
    fn lines_keep_their_numbers() {
        let text = "/* a\nb */\nlet s = \"x\ny\";\n#[cfg(test)]\nmod tests {\n  fn f() { 1 }\n}\nfn g() {}\n";
        let code = without_tests(&bare(text));
        assert_eq!(code.matches('\n').count(), text.matches('\n').count());
        assert_eq!(line(&code, code.find("fn g").unwrap()), 9);
        assert!(!code.contains("fn f"));
    }

    #[test]
    fn words_are_whole_words() {
        assert_eq!(words("unsafe_op unsafe { } not_unsafe", "unsafe").count(), 1);
        assert_eq!(words("x.unwrap().y unwrap_or", ".unwrap()").count(), 1);
    }
}
