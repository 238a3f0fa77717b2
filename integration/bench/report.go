package bench

import (
	"fmt"
	"io"
	"text/tabwriter"
)

// Times returns how long the starts took, in the unit of Start.Time.
func (r *Row) Times() Sample {
	return sample(r.Starts, func(s Start) float64 { return s.Time })
}

// Added returns by how much an init delays the start of the workload, by the median or another measure of a sample.
func (r *Report) Added(init *Row, measure func(Sample) float64) float64 {
	return measure(init.Times()) - measure(r.Nothing.Times())
}

// WriteTable writes the report as a table: medians, except where it says otherwise.
func (r *Report) WriteTable(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "\ttime\tmin\tmax\tadded\trequests\tlookups\treads\tRSS\tanon\tthreads\tsize\t")
	writeRow(t, &r.Nothing, "")
	for i := range r.Inits {
		init := &r.Inits[i]
		writeRow(t, init, fmt.Sprintf("%.2f", r.Added(init, Sample.Median)))
	}
	return t.Flush()
}

func writeRow(w io.Writer, r *Row, added string) {
	times := r.Times()
	fmt.Fprintf(w, "%s\t%.2f\t%.2f\t%.2f\t%s\t", r.Name, times.Median(), times.Min(), times.Max(), added)
	for _, f := range []func(Start) float64{
		func(s Start) float64 { return float64(s.Requests.All) },
		func(s Start) float64 { return float64(s.Requests.Lookup) },
		func(s Start) float64 { return float64(s.Requests.Read) },
	} {
		fmt.Fprintf(w, "%.0f\t", sample(r.Starts, f).Median())
	}
	for _, f := range []func(Memory) float64{
		func(m Memory) float64 { return float64(m.RSS) },
		anonymous,
		func(m Memory) float64 { return float64(m.Threads) },
	} {
		if len(r.Memory) > 0 {
			fmt.Fprintf(w, "%.0f", sample(r.Memory, f).Median())
		}
		fmt.Fprint(w, "\t")
	}
	fmt.Fprintf(w, "%d\t\n", r.Size)
}

func anonymous(m Memory) float64 { return float64(m.Anonymous) }
