//! Characters that look like Latin letters and that normalization (NFKD) leaves alone.
//!
//! The letters of Cyrillic, Greek and Armenian that fonts draw like Latin ones, small capitals, and letters with a
//! stroke. After the data of Unicode Technical Standard 39, cut down to what is used to imitate Latin words; a complete
//! table would fold ordinary words of other scripts into each other. Capitals are listed where they imitate another
//! letter than their small form does (capital eta imitates H, small eta imitates n).

/// What the character imitates, in small Latin letters.
pub(super) fn imitated(char: char) -> Option<&'static str> {
    Some(match char {
        'а' | 'А' | 'α' | 'Α' | 'ɑ' | 'ᴀ' => "a",
        'в' | 'В' | 'β' | 'Β' | 'ʙ' | 'Ь' | 'ь' => "b",
        'с' | 'С' | 'ᴄ' => "c",
        'ԁ' | 'Ԁ' | 'đ' | 'Đ' | 'ᴅ' => "d",
        'е' | 'Е' | 'ε' | 'Ε' | 'ᴇ' | 'ҽ' => "e",
        'ꜰ' => "f",
        'ɡ' | 'ց' | 'ɢ' => "g",
        'һ' | 'Һ' | 'н' | 'Н' | 'Η' | 'հ' | 'ħ' | 'Ħ' | 'ʜ' => "h",
        'і' | 'І' | 'ι' | 'Ι' | 'ı' | 'ɪ' | 'ӏ' | 'Ӏ' => "i",
        'ј' | 'Ј' | 'ȷ' | 'ᴊ' => "j",
        'к' | 'К' | 'κ' | 'Κ' | 'ᴋ' => "k",
        'ł' | 'Ł' | 'ʟ' => "l",
        'м' | 'М' | 'Μ' | 'ᴍ' => "m",
        'η' | 'Ν' | 'ո' | 'ɴ' => "n",
        'о' | 'О' | 'ο' | 'Ο' | 'օ' | 'Օ' | 'ø' | 'Ø' | 'ᴏ' => "o",
        'р' | 'Р' | 'ρ' | 'Ρ' | 'ᴘ' => "p",
        'ԛ' | 'Ԛ' => "q",
        'ʀ' => "r",
        'ѕ' | 'Ѕ' | 'ꜱ' => "s",
        'т' | 'Т' | 'τ' | 'Τ' | 'ŧ' | 'Ŧ' | 'ᴛ' => "t",
        'υ' | 'ս' | 'ᴜ' => "u",
        'ν' | 'ѵ' | 'Ѵ' | 'ᴠ' => "v",
        'ԝ' | 'Ԝ' | 'ω' | 'ᴡ' => "w",
        'х' | 'Х' | 'χ' | 'Χ' => "x",
        'у' | 'У' | 'Υ' | 'ү' | 'Ү' | 'ʏ' => "y",
        'Ζ' | 'ᴢ' => "z",
        'ß' | 'ẞ' => "ss",
        'æ' | 'Æ' => "ae",
        'œ' | 'Œ' => "oe",
        // White letters in black discs and squares: NFKD unfolds only their black-on-white kin.
        '\u{1f150}'..='\u{1f169}' => latin(char as u32 - 0x1f150),
        '\u{1f170}'..='\u{1f189}' => latin(char as u32 - 0x1f170),
        '\u{1f1e6}'..='\u{1f1ff}' => latin(char as u32 - 0x1f1e6),
        _ => return None,
    })
}

fn latin(index: u32) -> &'static str {
    let at = index as usize;
    &"abcdefghijklmnopqrstuvwxyz"[at..=at]
}
