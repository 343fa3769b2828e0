<?php
// Healthy is: a row written to the database and read back, and a message sent through
// the messaging service and received. Nothing is assumed from an earlier answer.
require '/srv/valt/schema.php';

function database(string $token): void
{
    $db = opened();
    $db->query('CREATE TABLE IF NOT EXISTS health (id BIGINT AUTO_INCREMENT PRIMARY KEY, token CHAR(32) NOT NULL)');
    $insert = $db->prepare('INSERT INTO health (token) VALUES (?)');
    $insert->execute([$token]);
    $id = $insert->insert_id;
    $select = $db->prepare('SELECT token FROM health WHERE id = ?');
    $select->execute([$id]);
    $row = $select->get_result()->fetch_row();
    if ($row === null || $row[0] !== $token) {
        throw new RuntimeException('the database does not return what was written');
    }
    $delete = $db->prepare('DELETE FROM health WHERE id = ?');
    $delete->execute([$id]);
}

function channel(string $method, string $name, string $body): string
{
    $answer = @file_get_contents('http://messaging:3000/channels/' . $name, false, stream_context_create(['http' => [
        'method' => $method, 'content' => $body, 'timeout' => 5, 'ignore_errors' => true,
        'header' => ['Authorization: Bearer ' . password('messaging'), 'Content-Type: text/plain', 'Connection: close'],
    ]]));
    if ($answer === false) {
        throw new RuntimeException('the messaging service does not answer');
    }
    $status = explode(' ', $http_response_header[0])[1] ?? '';
    if ($status[0] !== '2') {
        throw new RuntimeException("the messaging service answers $status");
    }
    return $answer;
}

function messaging(string $token): void
{
    channel('POST', "health-$token", $token);
    if (channel('GET', "health-$token", '') !== $token) {
        throw new RuntimeException('the messaging service does not return what was sent');
    }
}

$token = bin2hex(random_bytes(16));
$state = ['status' => 'ok', 'version' => version(), 'standIn' => true];
foreach (['database', 'messaging'] as $part) {
    try {
        $part($token);
        $state[$part] = 'ok';
    } catch (Throwable $problem) {
        $state['status'] = 'failing';
        $state[$part] = $problem->getMessage();
    }
}
http_response_code($state['status'] === 'ok' ? 200 : 503);
header('Content-Type: application/json');
header('Cache-Control: no-store');
echo json_encode($state), "\n";
