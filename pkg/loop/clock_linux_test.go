package loop

import (
	"os"
	"strings"
	"testing"
	"time"
)

func TestNow(t *testing.T) {
	before := Now()
	uptime, err := os.ReadFile("/proc/uptime")
	if err != nil {
		t.Fatal(err)
	}
	text, _, _ := strings.Cut(string(uptime), " ")
	want, err := time.ParseDuration(text + "s")
	if after := Now(); err != nil || want < before-10*time.Millisecond || want > after {
		t.Errorf("Now() = %v, then %v; /proc/uptime in between: %v, %v", before, after, want, err)
	}
}
