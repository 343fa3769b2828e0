package installer_test

import (
	"bytes"
	"errors"
	"io"
	"sync"
	"testing"

	"ipivs.com/valtctl/installer/agent"
	"ipivs.com/valtctl/installer/status"
)

func TestAHostThatIsAwayDoesNotHideTheOthers(t *testing.T) {
	t.Parallel()
	p := newPractice(t)
	p.install()
	p.down["media1"] = errNo
	all, err := status.Gather(t.Context(), p.options().Options, false)
	if !errors.Is(err, errNo) || len(all) != 2 || all[0].Facts.Installed.Release != "6.4.2" || all[1].Err == nil {
		t.Errorf("%+v, %v", all, err)
	}
	past, err := status.History(t.Context(), p.options().Options)
	if !errors.Is(err, errNo) || len(past) != 1 || past[0].Host != "app1" || past[0].Who != "pat@laptop" {
		t.Errorf("%+v, %v", past, err)
	}
}

func TestHistoryHasEveryHostsTransactionsNewestFirst(t *testing.T) {
	t.Parallel()
	p := newPractice(t)
	p.hosts["media1"].Fails["licence"] = errNo
	if _, err := p.try(); err == nil {
		t.Fatal("it should fail")
	}
	delete(p.hosts["media1"].Fails, "licence")
	p.install()
	past, err := status.History(t.Context(), p.options().Options)
	if err != nil || len(past) != 3 {
		t.Fatalf("%d transactions, %v", len(past), err)
	}
	if past[0].Host != "media1" || past[0].State != "done" || past[0].Result.Changed == 0 {
		t.Errorf("the newest is %+v", past[0])
	}
	for i := 1; i < len(past); i++ {
		if past[i].Started.After(past[i-1].Started) {
			t.Errorf("%v comes after %v", past[i].Started, past[i-1].Started)
		}
	}
}

func TestLogsOfEveryHostGoWhereTheyBelong(t *testing.T) {
	t.Parallel()
	p := newPractice(t)
	var mu sync.Mutex
	logs := map[string]*bytes.Buffer{}
	err := status.Logs(t.Context(), p.options().Options, agent.LogsRequest{Name: "web"}, func(host string) io.Writer {
		mu.Lock()
		defer mu.Unlock()
		logs[host] = &bytes.Buffer{}
		return logs[host]
	})
	if err != nil || len(logs) != 2 || logs["app1"].String() != "log of web\n" {
		t.Errorf("%v, %v", logs, err)
	}
}
