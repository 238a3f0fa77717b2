package bench

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// Added returns by how much an init delays the start of the workload, by the median or another
// measure of a sample.
func (r *Report) Added(row *Row, unit Unit, measure func(Sample) float64) float64 {
	return measure(row.values(unit)) - measure(r.Rows[0].values(unit))
}

// find returns the row with a name, nil if there is none.
func (r *Report) find(name string) *Row {
	for i := range r.Rows {
		if r.Rows[i].Name == name {
			return &r.Rows[i]
		}
	}
	return nil
}

func (r *Row) values(unit Unit) Sample {
	return sample(r.Starts[unit], func(s Start) float64 { return s.Value })
}

// requests returns numbers of requests in the boots in which instructions were counted.
func (r *Row) requests(number func(Requests) uint64) Sample {
	return sample(r.Starts[Instructions], func(s Start) float64 { return float64(number(s.Requests)) })
}

func allRequests(r Requests) uint64 { return r.All }

// WriteTable writes the report as a table of medians.
func (r *Report) WriteTable(w io.Writer) error {
	units := []Unit{Instructions, Time, Blocks}
	if len(r.Rows[0].Starts[Blocks]) == 0 {
		units = units[:2]
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprint(t, "\t")
	for _, unit := range units {
		fmt.Fprintf(t, "%s\tadded\t", unit)
	}
	fmt.Fprintln(t, "requests\tlookups\treads\tRSS\tanon\tthreads\tsize\tnative\t")
	for i := range r.Rows {
		fmt.Fprintln(t, strings.Join(r.cells(&r.Rows[i], units), "\t")+"\t")
	}
	return t.Flush()
}

// cells returns a row of the table.
func (r *Report) cells(row *Row, units []Unit) []string {
	cells := []string{row.Name}
	for _, unit := range units {
		added := ""
		if row != &r.Rows[0] {
			added = fmt.Sprintf("%.2f", r.Added(row, unit, Sample.Median))
		}
		cells = append(cells, fmt.Sprintf("%.2f", row.values(unit).Median()), added)
	}
	for _, number := range []func(Requests) uint64{
		allRequests,
		func(r Requests) uint64 { return r.Lookup },
		func(r Requests) uint64 { return r.Read },
	} {
		cells = append(cells, fmt.Sprintf("%.0f", row.requests(number).Median()))
	}
	if m := row.Memory; m != nil {
		cells = append(cells, fmt.Sprint(m.RSS), fmt.Sprint(m.Anonymous), fmt.Sprint(m.Threads))
	} else {
		cells = append(cells, "", "", "")
	}
	native := ""
	if len(row.Native) > 0 {
		native = fmt.Sprintf("%.0f", row.Native.Median())
	}
	return append(cells, fmt.Sprint(row.Size), native)
}
