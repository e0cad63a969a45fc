#![allow(clippy::unwrap_used)]

use bytes::Bytes;
use forebay_oip::{Datatype, Tensor};
use proptest::prelude::*;

use super::{Dimension, Signature, TensorLimits, check_inputs};

const LIMITS: TensorLimits = TensorLimits { max_elements: 64, max_batch: 8 };

/// `a` is [m, k], `b` is [k, 2].
fn signatures() -> Vec<Signature> {
    let signature = |name: &str, dimensions| Signature { name: name.to_owned(), datatype: Datatype::Fp32, dimensions };
    let named = |name: &str| Dimension::Named(name.to_owned());
    vec![signature("a", vec![named("m"), named("k")]), signature("b", vec![named("k"), Dimension::Fixed(2)])]
}

fn tensor(name: &str, shape: &[u64]) -> Tensor {
    let count: u64 = shape.iter().product();
    Tensor::from_f32(name, shape, &vec![0.0; usize::try_from(count).unwrap()])
}

fn refusal(inputs: &[Tensor]) -> String {
    check_inputs(&signatures(), inputs, LIMITS).unwrap_err().to_string()
}

#[test]
fn a_fitting_request_passes_in_any_order() {
    check_inputs(&signatures(), &[tensor("a", &[3, 4]), tensor("b", &[4, 2])], LIMITS).unwrap();
    check_inputs(&signatures(), &[tensor("b", &[4, 2]), tensor("a", &[3, 4])], LIMITS).unwrap();
    check_inputs(&signatures(), &[tensor("a", &[0, 4]), tensor("b", &[4, 2])], LIMITS).unwrap();
}

#[test]
fn each_mistake_has_its_sentence() {
    let b = || tensor("b", &[4, 2]);
    let wrong_type = Tensor::from_raw("a", Datatype::Int32, [1, 4], Bytes::from_static(&[0; 16]));
    let short = Tensor::from_raw("a", Datatype::Fp32, [3, 4], Bytes::from_static(&[0; 44]));
    let huge = Tensor::from_raw("a", Datatype::Fp32, [u64::MAX, 4], Bytes::new());
    for (inputs, expected) in [
        (vec![b()], "input `a`: missing"),
        (vec![tensor("a", &[3, 4]), b(), tensor("c", &[1])], "input `c`: the model has no such input"),
        (vec![tensor("a", &[3, 4]), b(), b()], "input `b`: given twice"),
        (vec![wrong_type, b()], "input `a`: expected FP32, found INT32"),
        (vec![tensor("a", &[3]), b()], "input `a`: expected 2 dimensions, found 1"),
        (vec![tensor("a", &[3, 4]), tensor("b", &[4, 3])], "input `b`: expected dimension 1 to be 2, found 3"),
        (vec![tensor("a", &[3, 5]), b()], "input `b`: dimension 0 is 4, but `k` is 5 already (in input `a`)"),
        (vec![tensor("a", &[5, 16]), tensor("b", &[16, 2])], "input `a`: more than 64 elements"),
        (vec![huge, b()], "input `a`: more than 64 elements"),
        (vec![tensor("a", &[9, 4]), b()], "input `a`: a batch of 9; the most is 8"),
        (vec![short, b()], "input `a`: FP32 of shape [3, 4] takes 48 bytes, found 44"),
    ] {
        assert_eq!(refusal(&inputs), expected);
    }
}

#[test]
fn metadata_says_minus_one_where_a_size_is_open() {
    let shapes: Vec<_> = signatures().iter().map(|signature| signature.spec().shape).collect();
    assert_eq!(shapes, [vec![-1, -1], vec![-1, 2]]);
}

proptest! {
    /// Whatever passes has matching shapes and enough bytes.
    #[test]
    fn what_passes_fits(
        a in prop::collection::vec(0u64..6, 0..4),
        b in prop::collection::vec(prop_oneof![0u64..6, Just(u64::MAX)], 0..4),
        bytes in 0usize..100,
    ) {
        let data = |length| Bytes::from(vec![0; length]);
        let inputs = [
            Tensor::from_raw("a", Datatype::Fp32, a.clone(), data(bytes)),
            Tensor::from_raw("b", Datatype::Fp32, b.clone(), data(bytes)),
        ];
        if check_inputs(&signatures(), &inputs, LIMITS).is_ok() {
            prop_assert_eq!(a.len(), 2);
            prop_assert_eq!(&b[..], &[a[1], 2][..]);
            prop_assert_eq!(a[0] * a[1] * 4, bytes as u64);
        }
    }
}
