//! Section 6, first part: the rotary embedding and the softmax scale.

/// f32(pow(theta, -(2i)/d)) for i < d/2.
pub fn inverse_frequencies(theta: f64, head_dim: usize) -> Vec<f32> {
    (0..head_dim / 2).map(|i| libm::pow(theta, -((2 * i) as f64) / head_dim as f64) as f32).collect()
}

/// (cos, sin) of a position, d/2 values each.
pub fn rope_row(inverse: &[f32], position: usize) -> (Vec<f32>, Vec<f32>) {
    let angle = |inv: &f32| f64::from(position as f32 * inv);
    let cos = inverse.iter().map(|i| libm::cos(angle(i)) as f32).collect();
    let sin = inverse.iter().map(|i| libm::sin(angle(i)) as f32).collect();
    (cos, sin)
}

/// Rotates one head in place: pairs (i, i + d/2).
pub fn rotate(x: &mut [f32], cos: &[f32], sin: &[f32]) {
    let half = x.len() / 2;
    for i in 0..half {
        let (a, b) = (x[i], x[i + half]);
        x[i] = a.mul_add(cos[i], -(b * sin[i]));
        x[i + half] = b.mul_add(cos[i], a * sin[i]);
    }
}

/// f32(log2(e) / sqrt(d)): what queries are multiplied by before L.
pub fn attention_scale(head_dim: usize) -> f32 {
    (std::f64::consts::LOG2_E / (head_dim as f64).sqrt()) as f32
}
