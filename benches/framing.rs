//! How fast messages are cut and framed, beside the least that could be done and beside tokio-util.
//!
//! `decode` cuts all messages out of 64 KiB of stream. Its floor for framings that search is memchr over
//! the same bytes; a prefix has no floor but the loop. tokio-util hands out owned messages where ours are
//! ranges, so the rows `.. as Bytes` take a slice of each to be compared with it.
//!
//! `encode` frames the same messages into a buffer that is used again; its floor is memcpy.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use criterion::measurement::WallTime;
use criterion::{BatchSize, BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main};
use harness::framing::{self, Decoded, FRAME_LEN_MAX, Framing, FramingError, Width};
use tokio_util::codec::{AnyDelimiterCodec, Decoder, Encoder, LengthDelimitedCodec, LinesCodec};

const STREAM_LEN: usize = 64 * 1024;
const MESSAGE_LENS: [usize; 2] = [64, 1024];

type Named = (&'static str, Arc<dyn Framing>);

fn framings(message_len: usize) -> Result<Vec<Named>, FramingError> {
    let prefix = |width, includes_prefix| framing::length_prefix(width, includes_prefix, FRAME_LEN_MAX);
    Ok(vec![
        ("line", framing::line(FRAME_LEN_MAX)?),
        ("crlf", framing::crlf(FRAME_LEN_MAX)?),
        ("delimiter of 4", framing::delimiter(b"\r\n\r\n", FRAME_LEN_MAX)?),
        ("fixed", framing::fixed(message_len)?),
        ("u16be", prefix(Width::U16Be, false)?),
        ("u24le", prefix(Width::U24Le, false)?),
        ("u32be", prefix(Width::U32Be, false)?),
        ("u32be includes_prefix", prefix(Width::U32Be, true)?),
        ("u64le", prefix(Width::U64Le, false)?),
        ("varint", prefix(Width::Varint, false)?),
    ])
}

/// Fills 64 KiB with framed messages.
fn stream(framing: &dyn Framing, message: &[u8]) -> Vec<u8> {
    let mut stream = Vec::new();
    while stream.len() < STREAM_LEN {
        framing.encode(message, &mut stream).expect("the message fits its framing");
    }
    stream
}

/// Calls `each` with the ends of every message's body.
fn cut(framing: &dyn Framing, stream: &[u8], mut each: impl FnMut(usize, usize)) {
    let mut front = 0;
    while let Ok(Decoded::Message { start, end, consumed }) = framing.decode(&stream[front..], 0) {
        each(front + start, front + end);
        front += consumed;
    }
    assert_eq!(front, stream.len(), "the stream holds whole messages only");
}

/// Cuts the stream as if each byte came in a read of its own.
fn cut_bytewise(framing: &dyn Framing, stream: &[u8]) {
    let (mut front, mut searched) = (0, 0);
    for arrived in 1..=stream.len() {
        match framing.decode(&stream[front..arrived], searched) {
            Ok(Decoded::Message { consumed, .. }) => (front, searched) = (front + consumed, 0),
            _ => searched = arrived - front,
        }
    }
    assert_eq!(front, stream.len(), "the stream holds whole messages only");
}

fn decode(criterion: &mut Criterion) {
    for message_len in MESSAGE_LENS {
        let message = vec![b'x'; message_len];
        let mut group = group(criterion, format!("decode/{message_len}"));
        for (name, framing) in framings(message_len).expect("the framings are valid") {
            let stream = stream(&*framing, &message);
            group.throughput(Throughput::Bytes(stream.len() as u64));
            group.bench_function(name, |b| {
                b.iter(|| cut(&*framing, black_box(&stream), |start, end| _ = black_box((start, end))));
            });
            if name == "line" || name == "u32be" {
                let shared = Bytes::copy_from_slice(&stream);
                group.bench_function(format!("{name} as Bytes"), |b| {
                    b.iter(|| cut(&*framing, &shared, |start, end| drop(black_box(shared.slice(start..end)))));
                });
                group.bench_function(format!("{name} byte by byte"), |b| {
                    b.iter(|| cut_bytewise(&*framing, black_box(&stream)));
                });
            }
            match name {
                "line" => {
                    group.bench_function("line: memchr alone", |b| {
                        b.iter(|| memchr::memchr_iter(b'\n', black_box(&stream)).for_each(|at| _ = black_box(at)));
                    });
                    peer(&mut group, "line: tokio-util lines", &stream, LinesCodec::new);
                    let any = || AnyDelimiterCodec::new(b"\n".to_vec(), Vec::new());
                    peer(&mut group, "line: tokio-util any delimiter", &stream, any);
                }
                "u32be" => peer(&mut group, "u32be: tokio-util length delimited", &stream, LengthDelimitedCodec::new),
                _ => {}
            }
        }
    }
}

/// Measures a codec of tokio-util on the same stream. Filling its buffer is not measured.
fn peer<D: Decoder>(group: &mut BenchmarkGroup<'_, WallTime>, name: &str, stream: &[u8], codec: impl Fn() -> D) {
    group.bench_function(name, |b| {
        b.iter_batched_ref(
            || (codec(), BytesMut::from(stream)),
            |(codec, buffer)| {
                while let Ok(Some(message)) = codec.decode(buffer) {
                    drop(black_box(message));
                }
            },
            BatchSize::SmallInput,
        );
    });
}

fn encode(criterion: &mut Criterion) {
    for message_len in MESSAGE_LENS {
        let message = vec![b'x'; message_len];
        let messages = STREAM_LEN / message_len;
        let mut group = group(criterion, format!("encode/{message_len}"));
        group.throughput(Throughput::Bytes((messages * message_len) as u64));
        let mut output = Vec::with_capacity(2 * STREAM_LEN);
        group.bench_function("memcpy alone", |b| {
            b.iter(|| {
                output.clear();
                (0..messages).for_each(|_| output.extend_from_slice(black_box(&message)));
                black_box(output.len())
            });
        });
        for (name, framing) in framings(message_len).expect("the framings are valid") {
            group.bench_function(name, |b| {
                b.iter(|| {
                    output.clear();
                    for _ in 0..messages {
                        framing.encode(black_box(&message), &mut output).expect("the message fits its framing");
                    }
                    black_box(output.len())
                });
            });
        }
        let mut buffer = BytesMut::with_capacity(2 * STREAM_LEN);
        let (mut lines, mut prefix) = (LinesCodec::new(), LengthDelimitedCodec::new());
        let (text, bytes) = ("x".repeat(message_len), Bytes::copy_from_slice(&message));
        group.bench_function("line: tokio-util lines", |b| {
            b.iter(|| {
                buffer.clear();
                (0..messages).for_each(|_| lines.encode(black_box(&text), &mut buffer).expect("the line fits"));
                black_box(buffer.remaining_mut())
            });
        });
        group.bench_function("u32be: tokio-util length delimited", |b| {
            b.iter(|| {
                buffer.clear();
                (0..messages).for_each(|_| prefix.encode(bytes.clone(), &mut buffer).expect("the message fits"));
                black_box(buffer.remaining_mut())
            });
        });
    }
}

/// Short, since a ratio within one run is what counts.
fn group(criterion: &mut Criterion, name: String) -> BenchmarkGroup<'_, WallTime> {
    let mut group = criterion.benchmark_group(name);
    group.warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(1)).sample_size(30);
    group
}

criterion_group!(benches, decode, encode);
criterion_main!(benches);
