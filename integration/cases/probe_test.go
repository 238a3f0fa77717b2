package cases
import "testing"
func TestProbe(t *testing.T) {
	cfg := withBusybox(t, "amd64")
	cfg.Args = []string{"/bin/observer", "a b", "", "c"}
	for k, v := range observe(t, cfg) { t.Logf("%s: %q", k, v) }
}
