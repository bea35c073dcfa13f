//! A small baseline JPEG encoder (ITU-T T.81), enough for photos that any viewer opens.
//!
//! Three components without subsampling, one quantisation table, and the luminance Huffman tables
//! of Annex K for all three: every decoder reads that, and the encoder stays short.

use std::f32::consts::PI;

/// The side of a block of samples.
const BLOCK: usize = 8;

/// Annex K.1, table K.1, halved: quality about 75.
const QUANTISATION: [u8; 64] = [
    8, 6, 5, 8, 12, 20, 26, 31, 6, 6, 7, 10, 13, 29, 30, 28, 7, 7, 8, 12, 20, 29, 35, 28, 7, 9, 11,
    15, 26, 44, 40, 31, 9, 11, 19, 28, 34, 55, 52, 39, 12, 18, 28, 32, 41, 52, 57, 46, 25, 32, 39,
    44, 52, 61, 60, 51, 36, 46, 48, 49, 56, 50, 52, 50,
];

/// Where the coefficient that comes `n`th in the file stands in the block.
const ZIGZAG: [usize; 64] = [
    0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5, 12, 19, 26, 33, 40, 48, 41, 34, 27, 20,
    13, 6, 7, 14, 21, 28, 35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51, 58, 59,
    52, 45, 38, 31, 39, 46, 53, 60, 61, 54, 47, 55, 62, 63,
];

/// Annex K.3.3.1: how many codes there are of each length, and their values.
const DC_LENGTHS: [u8; 16] = [0, 1, 5, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0];
const DC_VALUES: [u8; 12] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11];

/// Annex K.3.3.2.
const AC_LENGTHS: [u8; 16] = [0, 2, 1, 3, 3, 2, 4, 3, 5, 5, 4, 4, 0, 0, 1, 125];
const AC_VALUES: [u8; 162] = [
    0x01, 0x02, 0x03, 0x00, 0x04, 0x11, 0x05, 0x12, 0x21, 0x31, 0x41, 0x06, 0x13, 0x51, 0x61, 0x07,
    0x22, 0x71, 0x14, 0x32, 0x81, 0x91, 0xa1, 0x08, 0x23, 0x42, 0xb1, 0xc1, 0x15, 0x52, 0xd1, 0xf0,
    0x24, 0x33, 0x62, 0x72, 0x82, 0x09, 0x0a, 0x16, 0x17, 0x18, 0x19, 0x1a, 0x25, 0x26, 0x27, 0x28,
    0x29, 0x2a, 0x34, 0x35, 0x36, 0x37, 0x38, 0x39, 0x3a, 0x43, 0x44, 0x45, 0x46, 0x47, 0x48, 0x49,
    0x4a, 0x53, 0x54, 0x55, 0x56, 0x57, 0x58, 0x59, 0x5a, 0x63, 0x64, 0x65, 0x66, 0x67, 0x68, 0x69,
    0x6a, 0x73, 0x74, 0x75, 0x76, 0x77, 0x78, 0x79, 0x7a, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89,
    0x8a, 0x92, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99, 0x9a, 0xa2, 0xa3, 0xa4, 0xa5, 0xa6, 0xa7,
    0xa8, 0xa9, 0xaa, 0xb2, 0xb3, 0xb4, 0xb5, 0xb6, 0xb7, 0xb8, 0xb9, 0xba, 0xc2, 0xc3, 0xc4, 0xc5,
    0xc6, 0xc7, 0xc8, 0xc9, 0xca, 0xd2, 0xd3, 0xd4, 0xd5, 0xd6, 0xd7, 0xd8, 0xd9, 0xda, 0xe1, 0xe2,
    0xe3, 0xe4, 0xe5, 0xe6, 0xe7, 0xe8, 0xe9, 0xea, 0xf1, 0xf2, 0xf3, 0xf4, 0xf5, 0xf6, 0xf7, 0xf8,
    0xf9, 0xfa,
];

/// The picture whose colour at a place is what `pixel(x, y)` says, as red, green and blue.
pub fn encode(width: u16, height: u16, pixel: impl Fn(u16, u16) -> [u8; 3]) -> Vec<u8> {
    let mut out = header(width, height);
    let (dc, ac) = (
        Codes::new(&DC_LENGTHS, &DC_VALUES),
        Codes::new(&AC_LENGTHS, &AC_VALUES),
    );
    let cosines = cosines();
    let mut bits = Bits {
        out: &mut out,
        held: 0,
        count: 0,
    };
    let mut last_dc = [0i32; 3];
    for top in (0..height).step_by(BLOCK) {
        for left in (0..width).step_by(BLOCK) {
            let planes = sample(left, top, width, height, &pixel);
            for (plane, last) in planes.iter().zip(&mut last_dc) {
                let coefficients = transform(plane, &cosines);
                write_block(&mut bits, &coefficients, last, &dc, &ac);
            }
        }
    }
    bits.finish();
    out.extend([0xff, 0xd9]);
    out
}

/// Everything before the entropy-coded data: SOI, APP0, DQT, SOF0, DHT, SOS.
fn header(width: u16, height: u16) -> Vec<u8> {
    let mut out = vec![0xff, 0xd8];
    segment(&mut out, 0xe0, b"JFIF\0\x01\x01\0\0\x01\0\x01\0\0");
    let mut table = vec![0];
    table.extend(ZIGZAG.iter().map(|&i| QUANTISATION[i]));
    segment(&mut out, 0xdb, &table);
    let ([h1, h0], [w1, w0]) = (height.to_be_bytes(), width.to_be_bytes());
    segment(
        &mut out,
        0xc0,
        &[8, h1, h0, w1, w0, 3, 1, 0x11, 0, 2, 0x11, 0, 3, 0x11, 0],
    );
    segment(
        &mut out,
        0xc4,
        &[&[0x00], &DC_LENGTHS[..], &DC_VALUES[..]].concat(),
    );
    segment(
        &mut out,
        0xc4,
        &[&[0x10], &AC_LENGTHS[..], &AC_VALUES[..]].concat(),
    );
    segment(&mut out, 0xda, &[3, 1, 0, 2, 0, 3, 0, 0, 63, 0]);
    out
}

fn segment(out: &mut Vec<u8>, marker: u8, content: &[u8]) {
    let length = u16::try_from(content.len() + 2).unwrap_or(u16::MAX);
    out.extend([0xff, marker]);
    out.extend(length.to_be_bytes());
    out.extend(content);
}

/// One block of each of Y, Cb and Cr (JFIF), shifted to be around zero. The edge is repeated.
fn sample(
    left: u16,
    top: u16,
    width: u16,
    height: u16,
    pixel: &impl Fn(u16, u16) -> [u8; 3],
) -> [[f32; 64]; 3] {
    let mut planes = [[0.0; 64]; 3];
    for i in 0..64u16 {
        let (x, y) = ((left + i % 8).min(width - 1), (top + i / 8).min(height - 1));
        let [r, g, b] = pixel(x, y).map(f32::from);
        planes[0][usize::from(i)] = 0.299 * r + 0.587 * g + 0.114 * b - 128.0;
        planes[1][usize::from(i)] = -0.1687 * r - 0.3313 * g + 0.5 * b;
        planes[2][usize::from(i)] = 0.5 * r - 0.4187 * g - 0.0813 * b;
    }
    planes
}

/// `cosines[u][x]`, with the scale of A.3.3 in it.
fn cosines() -> [[f32; BLOCK]; BLOCK] {
    std::array::from_fn(|u| {
        let scale = if u == 0 { (1.0f32 / 8.0).sqrt() } else { 0.5 };
        std::array::from_fn(|x| scale * ((2 * x + 1) as f32 * u as f32 * PI / 16.0).cos())
    })
}

/// The quantised coefficients in the order of the file (A.3.3, A.3.4).
fn transform(plane: &[f32; 64], cosines: &[[f32; BLOCK]; BLOCK]) -> [i32; 64] {
    let mut rows = [0.0f32; 64];
    for y in 0..BLOCK {
        let line = &plane[y * BLOCK..(y + 1) * BLOCK];
        for (u, cosine) in cosines.iter().enumerate() {
            rows[y * BLOCK + u] = line.iter().zip(cosine).map(|(s, c)| s * c).sum();
        }
    }
    std::array::from_fn(|n| {
        let (v, u) = (ZIGZAG[n] / BLOCK, ZIGZAG[n] % BLOCK);
        let sum: f32 = (0..BLOCK)
            .map(|y| rows[y * BLOCK + u] * cosines[v][y])
            .sum();
        (sum / f32::from(QUANTISATION[ZIGZAG[n]])).round() as i32
    })
}

/// Entropy coding of one block (F.1.2).
fn write_block(bits: &mut Bits, block: &[i32; 64], last_dc: &mut i32, dc: &Codes, ac: &Codes) {
    let difference = block[0] - *last_dc;
    *last_dc = block[0];
    let size = category(difference);
    bits.put(dc.of(size));
    bits.put(amplitude(difference, size));
    let mut zeros = 0;
    for &value in &block[1..] {
        if value == 0 {
            zeros += 1;
            continue;
        }
        while zeros > 15 {
            bits.put(ac.of(0xf0));
            zeros -= 16;
        }
        let size = category(value);
        bits.put(ac.of(zeros << 4 | size));
        bits.put(amplitude(value, size));
        zeros = 0;
    }
    if zeros > 0 {
        bits.put(ac.of(0));
    }
}

/// How many bits the value needs.
fn category(value: i32) -> u8 {
    (32 - value.unsigned_abs().leading_zeros()) as u8
}

/// The low bits of the value, negative ones in one's complement.
fn amplitude(value: i32, size: u8) -> (u16, u8) {
    let low = if value < 0 { value - 1 } else { value };
    ((low as u16) & ((1u32 << size) - 1) as u16, size)
}

/// The Huffman code (bits and their number) of each value.
struct Codes([(u16, u8); 256]);

impl Codes {
    /// Annex C.2.
    fn new(lengths: &[u8; 16], values: &[u8]) -> Self {
        let mut codes = [(0, 0); 256];
        let mut code = 0u16;
        let mut values = values.iter();
        for (&count, length) in lengths.iter().zip(1u8..) {
            for &value in values.by_ref().take(usize::from(count)) {
                codes[usize::from(value)] = (code, length);
                code += 1;
            }
            code <<= 1;
        }
        Self(codes)
    }

    fn of(&self, value: u8) -> (u16, u8) {
        self.0[usize::from(value)]
    }
}

/// Bits on their way into bytes, a 0 stuffed behind each 0xff.
struct Bits<'a> {
    out: &'a mut Vec<u8>,
    held: u32,
    count: u8,
}

impl Bits<'_> {
    fn put(&mut self, (bits, length): (u16, u8)) {
        self.held = self.held << length | u32::from(bits);
        self.count += length;
        while self.count >= 8 {
            self.count -= 8;
            let byte = (self.held >> self.count) as u8;
            self.out.push(byte);
            if byte == 0xff {
                self.out.push(0);
            }
        }
        self.held &= (1 << self.count) - 1;
    }

    fn finish(mut self) {
        // Padded with ones, as F.1.2.3 asks.
        self.put((0x7f, 7));
    }
}
