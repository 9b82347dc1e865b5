//! Scratch
#![allow(missing_docs)]
use lingxi_content::Generator;
use std::time::Instant;
fn main() {
    let t = Instant::now();
    let a: Vec<String> = std::env::args().collect();
    let g = Generator::load(a[1].as_ref(), a[2].as_ref()).unwrap();
    eprintln!("load {:?} {} MB", t.elapsed(), g.llama().bytes() >> 20);
    let q = g.wording().question("You are a helpful AI assistant named SmolLM, trained by Hugging Face", &a[3]);
    eprintln!("{:?}", q);
    let t = Instant::now();
    let mut first = None;
    let w = g
        .write(&q, 64, &mut |_| {
            first.get_or_insert(t.elapsed());
            true
        })
        .unwrap();
    let f = first.unwrap();
    eprintln!(
        "prompt {} tokens {:?}, {} written {:.1}/s",
        q.len(),
        f,
        w.len(),
        (w.len() - 1) as f64 / (t.elapsed() - f).as_secs_f64()
    );
    println!("{}", g.wording().text(&w));
    let long: Vec<u32> = q.iter().cycle().take(512).copied().collect();
    for _ in 0..3 {
        let t = Instant::now();
        let mut p = g.llama().past();
        g.llama().read(&mut p, &long);
        let e = t.elapsed();
        eprintln!("512 prompt {:.1}/s", 512.0 / e.as_secs_f64());
    }
    for _ in 0..3 {
        let mut p = g.llama().past();
        let mut v = g.llama().read(&mut p, &q);
        let t = Instant::now();
        for i in 0..64 {
            let l = g.llama().logits(&v);
            v = g.llama().read(&mut p, &[(l[0] as i32 as u32 + i) % 1000 + 100]);
        }
        eprintln!("gen {:.1}/s", 64.0 / t.elapsed().as_secs_f64());
    }
}
