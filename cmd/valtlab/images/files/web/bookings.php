<?php
// A booking is written, and its number is the answer once the database has it: POST with room and
// token. GET tells how many there are.
require '/srv/valt/schema.php';
header('Content-Type: application/json');
header('Cache-Control: no-store');
try {
    $db = opened();
    if ($_SERVER['REQUEST_METHOD'] === 'POST') {
        $insert = $db->prepare("INSERT INTO bookings (room, token, made) VALUES (?, ?, NOW(3))");
        $insert->execute([$_POST['room'] ?? '', $_POST['token'] ?? '']);
        echo json_encode(['id' => $insert->insert_id]), "\n";
    } else {
        echo json_encode(['bookings' => (int) $db->query('SELECT COUNT(*) FROM bookings')->fetch_row()[0]]), "\n";
    }
} catch (Throwable $problem) {
    http_response_code(503);
    echo json_encode(['problem' => $problem->getMessage()]), "\n";
}
