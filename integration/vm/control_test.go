package vm

import (
	"bytes"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestControl stops a machine that counts, and continues it after a pause.
func TestControl(t *testing.T) {
	control, err := NewControl()
	if err != nil {
		t.Fatal(err)
	}
	defer control.Close()
	counting := make(chan struct{})
	var once sync.Once
	cfg := shell(t, "i=0; while [ $i -lt 60 ]; do echo $i; i=$((i + 1)); sleep 0.01; done; exit 3")
	cfg.Console = writerFunc(func(p []byte) (int, error) {
		if bytes.HasPrefix(p, []byte("10")) {
			once.Do(func() { close(counting) })
		}
		return len(p), nil
	})
	control.AddTo(&cfg)
	const pause = 2 * time.Second
	go func() {
		<-counting
		if err := control.Stop(t.Context()); err != nil {
			t.Error(err)
		}
		time.Sleep(pause)
		err := control.Execute(t.Context(), "no-such-command", nil)
		if err == nil || !strings.Contains(err.Error(), "no-such-command") {
			t.Errorf("Execute(no-such-command) = %v, want an error with the command's name", err)
		}
		if err := control.Continue(t.Context()); err != nil {
			t.Error(err)
		}
	}()
	result, err := Run(t.Context(), cfg)
	if err != nil || result.ExitCode != 3 || result.Duration < pause {
		t.Errorf("Run() = %d after %v, %v, want 3 after at least %v",
			result.ExitCode, result.Duration, err, pause)
	}
}
