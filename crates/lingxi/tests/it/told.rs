//! What a language model says of interests, as a table.

use crate::draft::Draft;
use lingxi::stages::told;
use lingxi_content::Generator;
use lingxi_content::gguf::Gguf;
use std::path::Path;

#[test]
fn each_interest_has_a_likelihood_of_each_and_those_of_a_row_add_up_to_one() {
    let read = |bytes| Gguf::of_bytes(Path::new("m.gguf"), bytes).unwrap();
    let generator = Generator::of(&read(read(Draft::new().bytes()).to_q8("x"))).unwrap();
    let names = ["tea", "rye bread", "garden hoses"].map(str::to_owned);
    let mut seen = Vec::new();
    let table = told::table(&generator, &names, &mut |done| seen.push(done)).unwrap();
    assert_eq!(seen, [1, 2, 3]);
    for row in table.chunks(3) {
        let sum: f32 = row.iter().map(|log| log.exp()).sum();
        assert!((sum - 1.0).abs() < 1e-5 && row.iter().all(|log| *log < 0.0), "{row:?}");
    }
    assert_ne!(table[..3], table[3..6], "what follows depends on what was there");
    assert_eq!(table, told::table(&generator, &names, &mut |_| {}).unwrap());
}
