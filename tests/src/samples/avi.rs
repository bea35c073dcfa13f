//! A short video as Motion JPEG in an AVI file (RIFF): pictures behind a header and before an index.

/// How long a picture stays, in microseconds.
const FRAME_MICROSECONDS: u32 = 100_000;
/// `AVIF_HASINDEX`.
const HAS_INDEX: u32 = 0x10;
/// `AVIIF_KEYFRAME`.
const KEY_FRAME: u32 = 0x10;

/// The video that shows the given JPEG pictures, all of the same size.
pub fn encode(width: u16, height: u16, frames: &[Vec<u8>]) -> Vec<u8> {
    let mut movie = Vec::new();
    let mut index = Vec::new();
    for frame in frames {
        // Offsets count from the word `movi`.
        let offset = movie.len() + 4;
        index.extend(b"00dc");
        index.extend(
            [KEY_FRAME, word(offset), word(frame.len())]
                .iter()
                .flat_map(|w| w.to_le_bytes()),
        );
        chunk(&mut movie, b"00dc", frame);
    }
    let mut body = Vec::new();
    list(&mut body, b"hdrl", &headers(width, height, frames));
    list(&mut body, b"movi", &movie);
    chunk(&mut body, b"idx1", &index);
    let mut out = Vec::new();
    let riff = [&b"AVI "[..], &body].concat();
    chunk(&mut out, b"RIFF", &riff);
    out
}

fn headers(width: u16, height: u16, frames: &[Vec<u8>]) -> Vec<u8> {
    let (w, h) = (u32::from(width), u32::from(height));
    let (count, largest) = (
        word(frames.len()),
        word(frames.iter().map(Vec::len).max().unwrap_or(0)),
    );
    let rate = 1_000_000 / FRAME_MICROSECONDS;
    let main = [
        FRAME_MICROSECONDS,
        largest * rate,
        0,
        HAS_INDEX,
        count,
        0,
        1,
        largest,
        w,
        h,
        0,
        0,
        0,
        0,
    ];
    let mut stream = [&b"vids"[..], b"MJPG"].concat();
    let frame = u32::from(height) << 16 | u32::from(width);
    stream.extend(words(&[
        0,
        0,
        0,
        1,
        rate,
        0,
        count,
        largest,
        u32::MAX,
        0,
        0,
        frame,
    ]));
    // BITMAPINFOHEADER; one plane of 24 bits.
    let mut format = words(&[40, w, h, 24 << 16 | 1]);
    format.extend(b"MJPG");
    format.extend(words(&[w * h * 3, 0, 0, 0, 0]));

    let mut streams = Vec::new();
    chunk(&mut streams, b"strh", &stream);
    chunk(&mut streams, b"strf", &format);
    let mut out = Vec::new();
    chunk(&mut out, b"avih", &words(&main));
    list(&mut out, b"strl", &streams);
    out
}

fn list(out: &mut Vec<u8>, kind: &[u8; 4], content: &[u8]) {
    chunk(out, b"LIST", &[&kind[..], content].concat());
}

/// Chunks begin at even offsets.
fn chunk(out: &mut Vec<u8>, name: &[u8; 4], content: &[u8]) {
    out.extend(name);
    out.extend(word(content.len()).to_le_bytes());
    out.extend(content);
    if content.len() % 2 == 1 {
        out.push(0);
    }
}

fn words(values: &[u32]) -> Vec<u8> {
    values.iter().flat_map(|w| w.to_le_bytes()).collect()
}

fn word(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}
