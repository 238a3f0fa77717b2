package bench

import "slices"

// A Sample is what several rounds have measured of one thing.
type Sample []float64

// sample collects what f takes of each value.
func sample[T any](values []T, f func(T) float64) Sample {
	s := make(Sample, len(values))
	for i, v := range values {
		s[i] = f(v)
	}
	return s
}

// Median returns the value in the middle, or the mean of the two there. Like Min, it needs at least
// one value.
func (s Sample) Median() float64 {
	sorted := slices.Sorted(slices.Values(s))
	n := len(sorted)
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}

// Min returns the least value.
func (s Sample) Min() float64 { return slices.Min(s) }
