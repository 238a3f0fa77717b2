package main

import (
	"strconv"
	"time"

	"github.com/krunbox/krunbox/pkg/boot"
	"github.com/krunbox/krunbox/pkg/timesync"
)

// appendTrace appends a line for a datagram, whatever came of it.
func appendTrace(b []byte, e timesync.Event) []byte {
	b = append(b, "from "...)
	b = strconv.AppendUint(b, uint64(e.From.CID), 10)
	b = strconv.AppendUint(append(b, ':'), uint64(e.From.Port), 10)
	b = append(b, ": "...)
	if e.Action != timesync.Refuse {
		return appendEvent(b, e, false, false)
	}
	return append(b, "refused: "+boot.Line(e.Err)+"\n"...)
}

// appendEvent appends a line for a datagram that was believed.
func appendEvent(b []byte, e timesync.Event, reportOnly, asJSON bool) []byte {
	if !asJSON {
		b = append(b, "offset "+e.Offset.String()+": "...)
		switch {
		case e.Err != nil:
			b = append(b, "not "+e.Action.String()+": "+boot.Line(e.Err)...)
		case reportOnly && e.Action != timesync.Keep:
			b = append(b, "would be "+e.Action.String()...)
		default:
			b = append(b, e.Action.String()...)
		}
		return append(b, '\n')
	}
	b = appendOffset(append(b, '{'), e.Offset)
	b = boot.AppendJSON(append(b, `, "action": `...), e.Action.String())
	b = strconv.AppendBool(append(b, `, "done": `...), !reportOnly && e.Err == nil)
	if e.Err != nil {
		b = boot.AppendJSON(append(b, `, "error": `...), boot.Line(e.Err))
	}
	return append(b, "}\n"...)
}

// appendCounts appends a line with the counts.
func appendCounts(b []byte, c timesync.Counts, asJSON bool) []byte {
	numbers := []struct {
		name  string
		value uint64
	}{{"received", c.Received}, {"refused", c.Refused}, {"stepped", c.Stepped}, {"slewed", c.Slewed}}
	if asJSON {
		b = append(b, '{')
		for _, n := range numbers {
			b = strconv.AppendUint(append(boot.AppendJSON(b, n.name), ": "...), n.value, 10)
			b = append(b, ", "...)
		}
		return append(appendOffset(b, c.Offset), "}\n"...)
	}
	for _, n := range numbers {
		b = strconv.AppendUint(append(b, n.name+" "...), n.value, 10)
		b = append(b, ", "...)
	}
	return append(b, "last offset "+c.Offset.String()+"\n"...)
}

// appendOffset appends a member of a JSON object.
func appendOffset(b []byte, offset time.Duration) []byte {
	return strconv.AppendInt(append(b, `"offsetNs": `...), int64(offset), 10)
}
