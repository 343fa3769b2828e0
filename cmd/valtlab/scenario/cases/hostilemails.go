package cases

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"ipivs.com/valtctl/cmd/valtlab/noticesink"
)

// mails has a site that updates itself look ahead at servers that say hostile words, and tell people by mail.
func (h *hostile) mails(ctx context.Context) (err error) {
	if err := noticesink.Start(ctx, h.Lab); err != nil {
		return err
	}
	defer func() {
		clean := context.WithoutCancel(ctx)
		err = errors.Join(err, h.unscheduled(clean), noticesink.Stop(clean, h.Lab))
	}()
	if err := os.WriteFile(h.Lab.Path("mail_password"), []byte(noticesink.Password+"\n"), 0o600); err != nil {
		return fmt.Errorf("writing what the notices need: %w", err)
	}
	var failed error
	if _, err := h.deriveSite("scheduled", func(site map[string]any) {
		failed = h.wordyServers(site)
		site["updates"] = map[string]any{"timezone": "America/Chicago", "windows": []any{"Sun 02:00-05:00"}, "notify": map[string]any{"mail": map[string]any{
			"server": noticesink.MailName, "from": noticesink.Sender, "to": []any{noticesink.Receiver}, "username": noticesink.User, "password_file": "mail_password"}}}
	}); err != nil || failed != nil {
		return errors.Join(err, failed)
	}
	if _, err := h.Expect(ctx, 0, "schedule", "enable", "--yes", "--site", scheduledFile); err != nil {
		return err
	}
	if err := h.noTimer(ctx); err != nil {
		return err
	}
	said, err := h.lookAt(ctx, "2026-12-03T02:05:00-06:00")
	if err == nil {
		err = errors.Join(says(said, "look-ahead"), obeyed(said))
	}
	if err != nil {
		return fmt.Errorf("the schedule's own journal: %w", err)
	}
	mails, err := noticesink.Mails(ctx, h.Lab)
	if err != nil {
		return err
	}
	shown := false
	for _, m := range mails {
		if err := errors.Join(obeyed(m.Subject), obeyed(m.Text), obeyed(m.Report)); err != nil {
			return fmt.Errorf("the mail %.100q: %w", m.Subject, err)
		}
		shown = shown || strings.Contains(m.Text, hostileMark)
	}
	if !shown {
		return fmt.Errorf("none of %d mails tells what the servers said: %.1500q", len(mails), mails)
	}
	h.Measure("mails", "%d, with the words written out", len(mails))
	return nil
}
