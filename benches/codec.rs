//! How fast messages are decoded and encoded by their descriptions, beside codecs that were written by hand for just them.
//!
//! Each row decodes or encodes the same bytes: a PUBLISH of MQTT with 64 bytes, beside mqttbytes; an answer of DNS with four
//! records, beside simple-dns. The peers own what they decode as far as they do by themselves.

use std::hint::black_box;
use std::sync::Arc;

use bytes::BytesMut;
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use harness::protocol::{self, Given, Protocol};

fn shipped(name: &str) -> Arc<Protocol> {
    protocol::find(name).expect("it comes with the harness").protocol()
}

fn mqtt(criterion: &mut Criterion) {
    let protocol = shipped("mqtt");
    let (message, _) = protocol.message("publish").expect("it is there");
    let given: Vec<(Arc<str>, Given)> = vec![
        ("qos".into(), Given::Number(1)),
        ("topic".into(), Given::Bytes("house/kitchen/temperature".into())),
        ("id".into(), Given::Number(7)),
        ("payload".into(), Given::Bytes(vec![b'x'; 64].into())),
    ];
    let bytes = protocol.encode(message, &given).expect("it is right");
    let mut group = criterion.benchmark_group("mqtt publish");
    group.bench_function("decode", |bencher| {
        bencher.iter(|| protocol.decode(black_box(&bytes), false, None).expect("it is one").expect("it is whole"));
    });
    group.bench_function("decode, mqttbytes", |bencher| {
        bencher.iter_batched_ref(
            || BytesMut::from(&bytes[..]),
            |bytes| mqttbytes::v4::read(black_box(bytes), 1 << 20).expect("it is one"),
            BatchSize::SmallInput,
        );
    });
    group.bench_function("encode", |bencher| {
        bencher.iter(|| protocol.encode(message, black_box(&given)).expect("it is right"));
    });
    group.bench_function("encode, mqttbytes", |bencher| {
        let mut publish =
            mqttbytes::v4::Publish::new("house/kitchen/temperature", mqttbytes::QoS::AtLeastOnce, vec![b'x'; 64]);
        publish.pkid = 7;
        bencher.iter(|| {
            let mut output = BytesMut::new();
            black_box(&publish).write(&mut output).expect("it is right");
            output
        });
    });
    group.finish();
}

/// An answer to `example.com A` with four addresses, their names as pointers: RFC 1035, section 4.1.
fn answer() -> Vec<u8> {
    let mut bytes = vec![0, 7, 0x81, 0x80, 0, 1, 0, 4, 0, 0, 0, 0];
    bytes.extend_from_slice(b"\x07example\x03com\0\0\x01\0\x01");
    for last in 1..=4 {
        bytes.extend_from_slice(&[0xc0, 12, 0, 1, 0, 1, 0, 0, 1, 44, 0, 4, 192, 0, 2, last]);
    }
    bytes
}

fn dns(criterion: &mut Criterion) {
    let protocol = shipped("dns");
    let bytes = answer();
    let mut group = criterion.benchmark_group("dns answer");
    group.bench_function("decode", |bencher| {
        bencher.iter(|| protocol.decode(black_box(&bytes), true, None).expect("it is one").expect("it is whole"));
    });
    group.bench_function("decode, simple-dns", |bencher| {
        bencher.iter(|| simple_dns::Packet::parse(black_box(&bytes)).expect("it is one"));
    });
    group.finish();
}

criterion_group!(benches, mqtt, dns);
criterion_main!(benches);
