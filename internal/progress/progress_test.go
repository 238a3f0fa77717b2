package progress

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestStep(t *testing.T) {
	work := func(ctx context.Context) {
		s := Start(ctx, "loading")
		time.Sleep(4 * time.Second)
		s.Set(42, 100)
		time.Sleep(10 * time.Second)
		s.Set(250, 200) // more than expected
		time.Sleep(25 * time.Second)
		s.End()
	}
	for _, tt := range []struct {
		name     string
		terminal bool
		work     func(context.Context)
		want     string
	}{
		{"lines", false, work, "p: loading ...\np: loading: 42 %\np: loading: 100 %\np: loading: 39 s\n"},
		{"terminal", true, work, "\r\x1b[Kp: loading ...\r\x1b[Kp: loading: 42 %\r\x1b[Kp: loading: 100 %" +
			"\r\x1b[Kp: loading: 39 s\n"},
		{"quick", false, func(ctx context.Context) {
			s := Start(ctx, "loading")
			time.Sleep(lineDelay - 1)
			s.End()
		}, ""},
		{"quick, terminal", true, func(ctx context.Context) {
			s := Start(ctx, "loading")
			time.Sleep(terminalDelay - 1)
			s.End()
		}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var out strings.Builder
				tt.work(With(t.Context(), &out, "p: ", tt.terminal))
				if got := out.String(); got != tt.want {
					t.Errorf("output = %q, want %q", got, tt.want)
				}
				work(t.Context()) // without a listener
			})
		})
	}
}
