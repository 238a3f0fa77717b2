package timesync

import (
	"encoding/binary"
	"errors"
	"math"
	"testing"
	"time"
)

// datagram returns n bytes with the time ns, and other bytes after it.
func datagram(ns uint64, n int) []byte {
	b := make([]byte, max(n, size))
	binary.LittleEndian.PutUint64(b, ns)
	for i := size; i < len(b); i++ {
		b[i] = 0xa5
	}
	return b[:n]
}

func date(year int) uint64 {
	return uint64(time.Date(year, 1, 1, 0, 0, 0, 0, time.UTC).UnixNano())
}

func TestParse(t *testing.T) {
	now := uint64(time.Date(2026, 7, 8, 9, 10, 11, 12, time.UTC).UnixNano())
	for _, tt := range []struct {
		name     string
		datagram []byte
		want     Time
		err      error
	}{
		{"time alone", datagram(now, 8), Time(now), nil},
		{"whole buffer", datagram(now, 3732), Time(now), nil},
		{"empty", nil, 0, ErrShort},
		{"short", datagram(now, 7), 0, ErrShort},
		{"first", datagram(date(2020), 8), Time(date(2020)), nil},
		{"last", datagram(date(2200)-1, 8), Time(date(2200) - 1), nil},
		{"too early", datagram(date(2020)-1, 8), 0, ErrTime},
		{"too late", datagram(date(2200), 8), 0, ErrTime},
		{"zero", datagram(0, 8), 0, ErrTime},
		{"negative", datagram(math.MaxUint64, 8), 0, ErrTime},
		{"least negative", datagram(1<<63, 8), 0, ErrTime},
		{"seconds", datagram(now/1e9, 8), 0, ErrTime},
	} {
		if got, err := Parse(tt.datagram); got != tt.want || !errors.Is(err, tt.err) {
			t.Errorf("%s: Parse() = %d, %v, want %d, %v", tt.name, got, err, tt.want, tt.err)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(datagram(date(2026), 8))
	f.Add(datagram(0, 3732))
	f.Add([]byte{1})
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := Parse(b)
		year := time.Unix(0, int64(got)).UTC().Year()
		if err == nil && (len(b) < size || year < 2020 || year > 2199) || err != nil && got != 0 {
			t.Errorf("Parse(%x) = %d, %v", b, got, err)
		}
	})
}

func TestDecide(t *testing.T) {
	const ms = time.Millisecond
	for _, tt := range []struct {
		policy Policy
		offset time.Duration
		want   Action
	}{
		{Policy{Threshold: 100 * ms}, 0, Keep},
		{Policy{Threshold: 100 * ms}, 100 * ms, Keep},
		{Policy{Threshold: 100 * ms}, -100 * ms, Keep},
		{Policy{Threshold: 100 * ms}, 100*ms + 1, Step},
		{Policy{Threshold: 100 * ms}, -100*ms - 1, Step},
		{Policy{Threshold: 100 * ms}, math.MaxInt64, Step},
		{Policy{Threshold: 100 * ms}, math.MinInt64, Step},
		{Policy{Threshold: 100 * ms, Slew: true}, 0, Keep},
		{Policy{Threshold: 100 * ms, Slew: true}, 1, Slew},
		{Policy{Threshold: 100 * ms, Slew: true}, -100 * ms, Slew},
		{Policy{Threshold: 100 * ms, Slew: true}, 101 * ms, Step},
		{Policy{Threshold: time.Hour}, 59 * time.Minute, Keep},
		{Policy{}, 1, Step},
		{Policy{}, 0, Keep},
	} {
		if got := tt.policy.Decide(tt.offset); got != tt.want {
			t.Errorf("%+v.Decide(%v) = %v, want %v", tt.policy, tt.offset, got, tt.want)
		}
	}
}
