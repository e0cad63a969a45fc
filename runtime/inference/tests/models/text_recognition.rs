//! Pictures of text.

use forebay_inference::{Blame, Model, ModelSettings};
use forebay_oip::Tensor;

use super::support::{ask, data, f32s, request, runtime, shipped, texts, wanting};

fn pictures(pictures: &[&[u8]]) -> Tensor {
    Tensor::from_strings("image", [pictures.len() as u64], pictures.iter().copied())
}

#[tokio::test]
async fn a_line_of_text_is_read() {
    let model = Model::load(&runtime(), &ModelSettings::new(shipped("ocr").path())).unwrap();
    let line = std::fs::read(data("line.png")).unwrap();

    let answer = ask(&model, request([pictures(&[&line, &line])])).await.unwrap();
    let [text, confidence] = answer.response.outputs.as_slice() else { panic!("two outputs") };
    assert_eq!(texts(text), ["Forebay serves 2026"; 2]);
    assert!(f32s(confidence).iter().all(|value| (0.9..=1.0).contains(value)), "{:?}", f32s(confidence));

    let answer = ask(&model, wanting(request([pictures(&[&line])]), &["confidence"])).await.unwrap();
    let names: Vec<_> = answer.response.outputs.iter().map(|output| output.name.as_str()).collect();
    assert_eq!(names, ["confidence"]);

    for (file, expected) in [
        (b"%PDF-1.7".as_slice(), "input `image`: element 1 is neither a JPEG nor a PNG picture"),
        (&line[..line.len() / 2], "input `image`: element 1 is a damaged picture"),
    ] {
        let error = ask(&model, request([pictures(&[&line, file])])).await.unwrap_err();
        assert_eq!((error.blame(), error.to_string().as_str()), (Blame::Client, expected));
    }
}
