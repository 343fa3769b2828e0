<?php
// The practice application's database. Up to 6.4 it has one table of bookings; from 6.5 on
// rooms have a table of their own, and bookings a length and a token that is used once.
mysqli_report(MYSQLI_REPORT_ERROR | MYSQLI_REPORT_STRICT);

function password(string $name): string
{
    $text = @file_get_contents('/run/valt/' . $name);
    if ($text === false || $text === '') {
        throw new RuntimeException("the password $name cannot be read");
    }
    return $text;
}

function version(): string
{
    return trim(file_get_contents('/srv/valt/version'));
}

function schema(): int
{
    return version_compare(version(), '6.5', '<') ? 1 : 2;
}

function connected(): mysqli
{
    $db = mysqli_init();
    $db->options(MYSQLI_OPT_CONNECT_TIMEOUT, 3);
    $db->options(MYSQLI_OPT_READ_TIMEOUT, 5);
    $db->real_connect('db', 'valt', password('db-app'), 'valt');
    return $db;
}

// opened is the database with the form that this version wants: made where nothing is yet,
// and refused where it is another version's.
function opened(): mysqli
{
    $db = connected();
    $db->query('CREATE TABLE IF NOT EXISTS meta (id TINYINT PRIMARY KEY, version INT NOT NULL)');
    $db->query('INSERT IGNORE INTO meta VALUES (1, ' . schema() . ')');
    $is = (int) $db->query('SELECT version FROM meta')->fetch_row()[0];
    if ($is !== schema()) {
        throw new RuntimeException("the database has form $is, and version " . version() . ' wants ' . schema());
    }
    $more = schema() === 1 ? '' : ', minutes INT NOT NULL DEFAULT 60, UNIQUE KEY token (token)';
    $db->query("CREATE TABLE IF NOT EXISTS bookings (id BIGINT AUTO_INCREMENT PRIMARY KEY, room VARCHAR(64) NOT NULL, token VARCHAR(64) NOT NULL, made DATETIME(3) NOT NULL$more)");
    if (schema() === 2) {
        $db->query('CREATE TABLE IF NOT EXISTS rooms (name VARCHAR(64) PRIMARY KEY, bookings INT NOT NULL)');
    }
    $db->query('CREATE VIEW IF NOT EXISTS latest AS SELECT room, MAX(made) AS made FROM bookings GROUP BY room');
    $db->query('CREATE PROCEDURE IF NOT EXISTS busy(IN wanted VARCHAR(64)) SELECT COUNT(*) FROM bookings WHERE room = wanted');
    $db->query('CREATE TRIGGER IF NOT EXISTS stamped BEFORE INSERT ON bookings FOR EACH ROW SET NEW.made = NOW(3)');
    $db->query('CREATE EVENT IF NOT EXISTS tidy ON SCHEDULE EVERY 1 DAY DO DELETE FROM bookings WHERE made < NOW() - INTERVAL 10 YEAR');
    return $db;
}
