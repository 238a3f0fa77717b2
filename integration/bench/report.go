package bench

import (
	"fmt"
	"io"
	"text/tabwriter"
)

// A Row is all that was measured of one init.
type Row struct {
	Name   string
	Size   int64 // of the binary, bytes
	Starts []Start
	Memory []Memory // may be empty
}

// A Report is the result of a benchmark.
type Report struct {
	Unit    string // of the times: "ms", or "M instructions"
	UseMin  bool   // compare the least times instead of the medians
	Nothing Row    // the workload without an init
	Inits   []Row
}

// times returns how long the starts of a row took, in the report's unit.
func (r Row) times() Sample {
	return sample(r.Starts, func(s Start) float64 { return float64(s.Time) / 1e6 })
}

func (r Row) rss() Sample       { return sample(r.Memory, func(m Memory) float64 { return float64(m.RSS) }) }
func (r Row) anonymous() Sample { return sample(r.Memory, func(m Memory) float64 { return float64(m.Anonymous) }) }
func (r Row) threads() Sample   { return sample(r.Memory, func(m Memory) float64 { return float64(m.Threads) }) }

// typical returns the value that stands for a sample of times.
func (r *Report) typical(s Sample) float64 {
	if r.UseMin {
		return s.Min()
	}
	return s.Median()
}

// Added returns the time that an init adds to the start of the workload.
func (r *Report) Added(init Row) float64 {
	return r.typical(init.times()) - r.typical(r.Nothing.times())
}

// Write writes the report as a table.
func (r *Report) Write(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	typical := "median"
	if r.UseMin {
		typical = "least"
	}
	fmt.Fprintf(t, "\t%s\tmin\tmax\tadded\trequests\tlookups\treads\tRSS\tanon\tthreads\tsize\t\n", typical)
	for _, row := range append([]Row{r.Nothing}, r.Inits...) {
		times := row.times()
		fmt.Fprintf(t, "%s\t%.2f\t%.2f\t%.2f\t", row.Name, r.typical(times), times.Min(), times.Max())
		if row.Name == r.Nothing.Name {
			fmt.Fprint(t, "-\t")
		} else {
			fmt.Fprintf(t, "%.2f\t", r.Added(row))
		}
		fmt.Fprintf(t, "%.0f\t%.0f\t%.0f\t",
			sample(row.Starts, func(s Start) float64 { return float64(s.Requests.All) }).Median(),
			sample(row.Starts, func(s Start) float64 { return float64(s.Requests.Lookup) }).Median(),
			sample(row.Starts, func(s Start) float64 { return float64(s.Requests.Read) }).Median())
		if len(row.Memory) > 0 {
			fmt.Fprintf(t, "%.0f\t%.0f\t%.0f\t", row.rss().Median(), row.anonymous().Median(), row.threads().Median())
		} else {
			fmt.Fprint(t, "\t\t\t")
		}
		fmt.Fprintf(t, "%d\t\n", row.Size)
	}
	return t.Flush()
}
